"""A member that shall get no new sessions for a while, or may have them again: kept on disk, the agent is called, and
HAProxy is watched until it shows it.

Nothing is set in HAProxy from here: that is the agent's, under its lease. Where there is none, what was asked for is
done when one comes.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from trunkline.adapters import check_log
from trunkline.adapters.files import read_text
from trunkline.adapters.process_table import command_line
from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.agent.attached import LOCK
from trunkline.agent.intents import change_drains
from trunkline.config.settings import ClusterSettings, ReplicaServiceSettings, Settings
from trunkline.errors import RuntimeSocketError, TrunklineError, UsageError
from trunkline.model.desired import ServiceKind
from trunkline.model.facts import Lease, Sticky
from trunkline.model.intent import Drain
from trunkline.model.proxy import ProxyState
from trunkline.model.request import Outcome, Place, Target
from trunkline.model.status import ClusterStatus, MemberStatus, ServiceStatus
from trunkline.operate.places import find_directory, find_haproxy
from trunkline.operate.plan import read_plans
from trunkline.operate.status import read_status
from trunkline.plan.balancer import check_log_name
from trunkline.wire.names import to_haproxy

PATIENCE_S, UNHEARD_S = 5.0, 1.5
"""So long HAProxy is given to show it: where an agent can be called, and where none can."""

LOOK_S = 0.05
TIMEOUT_S = 1.0
NO_AGENT = "it is done as soon as one runs: `trunkline run`, or `trunkline agent` beside haproxy.service"


async def find_target(settings: Settings, member: str, scope: str | None) -> Target:
    """The one member of that name. Raises UsageError where there is none or are several."""
    status = await read_status(settings)
    clusters = [it for it in status.clusters if scope in (None, it.scope)]
    if not clusters:
        names = ", ".join(it.scope for it in status.clusters if it.scope)
        raise UsageError(f"there is no cluster {scope!r}", hint=f"the clusters are {names or 'not known'}")
    having = [it for it in clusters if member in _names(it)]
    if not having:
        raise _unknown(member, clusters)
    if len(having) > 1:
        scopes = ", ".join(it.scope for it in having)
        raise UsageError(f"several clusters have a member {member!r}: {scopes}", hint="--scope names one of them")
    (cluster,) = having
    services = tuple(it for it in cluster.services if it.kind is not ServiceKind.PRIMARY)
    if not services:
        raise UsageError(
            f"{cluster.scope} has no port for replicas", hint="a drain is for those: services.replicas in the settings"
        )
    chosen = settings.clusters[status.clusters.index(cluster)]
    return Target(
        scope=cluster.scope,
        member=member,
        services=tuple(it.service for it in services),
        is_listed=any(it.name == member and it.state != "not listed" for it in cluster.members),
        warnings=tuple(_warnings(chosen, cluster, member, services)),
    )


async def drain(
    settings: Settings, target: Target, *, who: str, lasts: timedelta | None, why: str, now: datetime
) -> Outcome:
    """Ask for a drain, which takes the place of an earlier one. Raises TrunklineError where it cannot be kept."""
    until = now + lasts if lasts is not None else None
    asked = Drain(scope=target.scope, member=target.member, who=who, since=now, until=until, why=why)
    change_drains(_home(settings), lambda kept: (*_others(kept, target, now), asked))
    return await _seen(settings, target, asked, lambda places: all(it.is_drained for it in places))


async def ready(settings: Settings, target: Target, *, now: datetime) -> Outcome:
    """Ask for no drain any more. Raises TrunklineError where that cannot be kept."""
    before = change_drains(_home(settings), lambda kept: _others(kept, target, now))
    asked = next((it for it in before if (it.scope, it.member) == (target.scope, target.member)), None)
    outcome = await _seen(settings, target, asked, lambda places: not any(it.is_leased for it in places))
    by_hand = ", ".join(it.service for it in outcome.places if it.is_by_hand)
    if outcome.is_done and by_hand:
        hint = "who has set it there may undo it: `set server SERVICE/MEMBER state ready` (docs/operating.md)"
        return _failed(outcome, f"{target.member} was drained or set to maint by hand in {by_hand}, which stays", hint)
    if not outcome.is_done and await _has_another_reason(settings, target):
        return Outcome(target=target, drain=asked, places=outcome.places)
    return outcome


def _home(settings: Settings) -> Path:
    return find_directory(settings).absolute()


def _names(cluster: ClusterStatus) -> set[str]:
    """Its members, and those of whom people have asked something."""
    return {it.name for it in cluster.members} | {it.member for it in cluster.drains}


def _unknown(member: str, clusters: list[ClusterStatus]) -> TrunklineError:
    names = sorted({name for it in clusters for name in _names(it)})
    if names:
        return UsageError(f"there is no member {member!r}", hint=f"the members are {', '.join(names)}")
    return TrunklineError(
        "no member is known: neither Patroni nor HAProxy gives an answer", hint="`trunkline status` says why"
    )


def _warnings(
    chosen: ClusterSettings, cluster: ClusterStatus, member: str, services: tuple[ServiceStatus, ...]
) -> Iterator[str]:
    its = next((it for it in cluster.members if it.name == member), None)
    if its is not None and its.role.is_leader:
        yield (
            f"{member} is the primary, and its port is not affected: a drain is for the replicas' services, "
            "and counts there when it is a replica"
        )
    for service in services:
        if its is not None and _serves(its, service) and not any(_serves(it, service) for it in _rest(cluster, its)):
            yield f"nobody else serves {service.service}: {_without_it(chosen, service.kind)}"


def _rest(cluster: ClusterStatus, one: MemberStatus) -> Iterator[MemberStatus]:
    return (it for it in cluster.members if it is not one)


def _serves(member: MemberStatus, service: ServiceStatus) -> bool:
    return any(it.takes_sessions for it in member.services if it.service == service.service)


def _without_it(chosen: ClusterSettings, kind: ServiceKind) -> str:
    its = getattr(chosen.services, kind.value)
    if isinstance(its, ReplicaServiceSettings) and its.fallback_to_primary:
        return "the primary serves there as well, as long as that lasts"
    return "new connections wait, and are refused after that, as long as that lasts"


def _others(kept: tuple[Drain, ...], target: Target, now: datetime) -> tuple[Drain, ...]:
    """What is kept of others and is not over."""
    return tuple(
        it
        for it in kept
        if (it.scope, it.member) != (target.scope, target.member) and (it.until is None or it.until > now)
    )


async def _seen(
    settings: Settings, target: Target, asked: Drain | None, is_done: Callable[[tuple[Place, ...]], bool]
) -> Outcome:
    """What HAProxy shows, as soon as it is done, or when nobody has done it in time."""
    paths = find_haproxy(settings)
    is_heard = check_log.call(check_log_name(paths))
    runtime = RuntimeSocket(paths.admin_socket, timeout_s=TIMEOUT_S)
    ends_at = time.monotonic() + (PATIENCE_S if is_heard else UNHEARD_S)
    while True:
        places, problem, hint = await _look(runtime, target)
        if not problem and is_done(places):
            return Outcome(target=target, drain=asked, places=places)
        if time.monotonic() > ends_at:
            break
        await asyncio.sleep(LOOK_S)
    outcome = Outcome(target=target, drain=asked, places=places, problem=problem, hint=hint)
    return outcome if problem else _failed(outcome, *_why_not(settings))


async def _look(runtime: RuntimeSocket, target: Target) -> tuple[tuple[Place, ...], str, str]:
    """Where it stands in each service, or why nobody can tell."""
    try:
        lease, proxies = await runtime.lease_and_proxies()
    except RuntimeSocketError as error:
        return (), f"it is noted, and nobody can see it done: {error.message}", error.hint
    places = tuple(_place(target, proxy, lease) for proxy in proxies if proxy.name in target.services)
    there = tuple(it for it in places if it is not None)
    missing = "" if there else f"it is noted, and HAProxy has no server of {target.member}"
    return there, missing, "it counts when that member comes" if missing else ""


def _place(target: Target, proxy: ProxyState, lease: Lease) -> Place | None:
    server = proxy.server(to_haproxy(target.member))
    if server is None:
        return None
    key = (proxy.name, server.name)
    return Place(
        service=proxy.name,
        health=server.health,
        sessions=server.sessions,
        takes_sessions=server.takes_sessions,
        is_leased=any((it.proxy, it.server) == key and it.what is not Sticky.CHECKS for it in lease.stuck),
        is_listed=target.is_listed,
    )


def _failed(outcome: Outcome, problem: str, hint: str) -> Outcome:
    return Outcome(target=outcome.target, drain=outcome.drain, places=outcome.places, problem=problem, hint=hint)


def _why_not(settings: Settings) -> tuple[str, str]:
    if not _has_agent(settings):
        return "it is noted, and not done: no agent steers this HAProxy", NO_AGENT
    return (
        f"it is noted, and the agent has not done it within {PATIENCE_S:g} s",
        "its log says why, and `trunkline plan` what it would do",
    )


def _has_agent(settings: Settings) -> bool:
    """Whether the process is there that was the last to steer."""
    try:
        noted = (read_text(_home(settings) / LOCK) or "").strip()
    except TrunklineError:
        return True  # it is not ours to look
    return noted.isdigit() and "agent" in command_line(int(noted))


async def _has_another_reason(settings: Settings, target: Target) -> bool:
    """Whether the agent would leave the member as it is: for its lag, for a port that is silent."""
    try:
        plans = await read_plans(settings)
    except TrunklineError:
        return False
    servers = {f"{service}/{to_haproxy(target.member)}" for service in target.services}
    commands = {word for it in plans for command in it.commands for word in command.command.split()}
    is_closed = any(
        stance.member == target.member and stance.stance == "closed"
        for it in plans
        for stance in it.members
        if it.service in target.services
    )
    return is_closed and not servers & commands
