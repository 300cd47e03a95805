"""What the agent would do now: asks everybody, as the agent does in a burst, and has it decided. Nothing is done.

Renews no lease, and needs no agent. Who is silent is a fact; of a cluster whose APIs are all silent the members are
those that are remembered, or that HAProxy has. What follows from the answers is `trunkline.plan.steering`.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from trunkline.adapters.patroni_rest import PatroniRest
from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.agent import memory
from trunkline.config.settings import ClusterSettings, ReplicaServiceSettings, Settings
from trunkline.errors import PatroniError, RuntimeSocketError, WrongScopeError
from trunkline.model.cluster import ClusterView, Member
from trunkline.model.desired import Service, ServiceKind
from trunkline.model.facts import LeaderKey, Lease, MemberFacts, Situation
from trunkline.model.planned import ServicePlan
from trunkline.model.proxy import Health, ProxyState
from trunkline.operate.looking import look
from trunkline.operate.places import find_directory, find_haproxy
from trunkline.operate.status import in_words, read_asked
from trunkline.plan.dry_run import describe
from trunkline.plan.explain import wanted_services
from trunkline.wire.names import to_patroni
from trunkline.wire.runtime import UnknownCommandError


async def read_plans(settings: Settings) -> tuple[ServicePlan, ...]:
    """The plan of each service. Raises TrunklineError where HAProxy gives no answer, or an API belongs to another
    cluster."""
    socket = RuntimeSocket(find_haproxy(settings).admin_socket)
    _, before = await _steered(socket)
    remembered = memory.load(find_directory(settings))
    unseen = wanted_services(settings, (None,) * len(settings.clusters))
    seen = [
        await _cluster(chosen, remembered, tuple(before.get(service.proxy) for service in its))
        for chosen, its in zip(settings.clusters, unseen, strict=True)
    ]
    services = wanted_services(settings, tuple(cluster for cluster, _ in seen))
    asked, asked_problem = read_asked(settings)
    plans: list[ServicePlan] = []
    for chosen, (cluster, problem), its in zip(settings.clusters, seen, services, strict=True):
        own = tuple(it for it in asked if it.drain.scope == cluster.scope)
        situations = await _situations(socket, chosen, cluster, its)
        told = (describe(replace(situation, asked=own)) for situation in situations)
        plans += [_warned(it, "no Patroni could be asked who the members are", problem) for it in told]
    return tuple(_warned(it, "what was asked for cannot be read", asked_problem) for it in plans)


def _warned(plan: ServicePlan, what: str, why: str) -> ServicePlan:
    return replace(plan, warnings=(*plan.warnings, f"{what}: {why}")) if why else plan


async def _situations(
    socket: RuntimeSocket, chosen: ClusterSettings, cluster: ClusterView, services: tuple[Service, ...]
) -> tuple[Situation, ...]:
    """HAProxy is asked after the members, since silence takes its time."""
    urls = {member.name: member.api_url for member in cluster.members if member.api_url}
    servers = {server.member: server for service in services for server in service.servers}
    facts, key = await look(chosen.api, servers.values(), urls)
    lease, proxies = await _steered(socket)
    told = _with_lags(facts)
    found = (
        _situation(it, state, lease, told, key, _lag_limit_s(chosen, it.kind))
        for it in services
        if (state := proxies.get(it.proxy)) is not None
    )
    return tuple(it for it in found if it is not None)


async def _steered(socket: RuntimeSocket) -> tuple[Lease, Mapping[str, ProxyState]]:
    """What an agent has leased, and HAProxy's services by their names."""
    try:
        lease, proxies = await socket.lease_and_proxies()
        return lease, {proxy.name: proxy for proxy in proxies}
    except UnknownCommandError:
        raise RuntimeSocketError(
            "this HAProxy has no part of ours for an agent", hint="give it the configuration: trunkline apply"
        ) from None


async def _cluster(
    chosen: ClusterSettings, remembered: str, proxies: tuple[ProxyState | None, ...]
) -> tuple[ClusterView, str]:
    """Who the members are, and why no API has said so, "" where one has. `proxies`: HAProxy's side of its services, as
    far as their names are known without any API."""
    known = memory.recalled(remembered, chosen)
    try:
        async with PatroniRest(chosen.api) as patroni:
            urls = (*chosen.patroni, *(known.urls if known is not None else ()))
            return await patroni.view(urls, scope=chosen.scope), ""
    except WrongScopeError:
        raise
    except PatroniError as error:
        if known is None and not any(proxies):
            raise
        members = tuple(_members(it for it in proxies if it is not None))
        return known.view if known else ClusterView(scope=chosen.scope or "", members=members), in_words(error)


def _members(proxies: Iterable[ProxyState]) -> Iterator[Member]:
    """Servers of HAProxy, without their APIs: it does not tell where they are. Who is in maintenance may have left."""
    servers = {server.name: server for proxy in proxies for server in proxy.servers if not server.is_backup}
    for name, server in sorted(servers.items()):
        host, _, port = server.address.rpartition(":")
        if server.health is not Health.MAINT and host and port.isdecimal():
            yield Member(name=to_patroni(name), host=host.strip("[]"), port=int(port), api_url="")


def _with_lags(facts: Iterable[MemberFacts]) -> tuple[MemberFacts, ...]:
    """One look cannot tell since when a replica is behind: the age of its last transaction is the most."""
    known = list(facts)
    told = [(it, it.rest.answer) for it in known if it.rest is not None and it.rest.answer is not None]
    written = max((answer.writes_location or 0 for _, answer in told if answer.accepts_writes), default=None)
    lags = {
        it.name: max(0.0, time.time() - answer.replayed_at) if answer.replay_location < written else 0.0
        for it, answer in told
        if written is not None and answer.replay_location is not None and answer.replayed_at is not None
    }
    return tuple(replace(it, rest=replace(it.rest, lag_s=lags.get(it.name))) if it.rest else it for it in known)


def _lag_limit_s(chosen: ClusterSettings, kind: ServiceKind) -> float | None:
    its = getattr(chosen.services, kind.value)
    return its.lag_limit_s if isinstance(its, ReplicaServiceSettings) else None


def _situation(
    service: Service,
    state: ProxyState,
    lease: Lease,
    facts: tuple[MemberFacts, ...],
    key: LeaderKey | None,
    lag_limit_s: float | None,
) -> Situation | None:
    if service.kind is ServiceKind.PRIMARY and service.serves_standby_leader:
        return None
    stuck = tuple(it for it in lease.stuck if it.proxy == service.proxy)
    return Situation(
        scope=service.scope,
        kind=service.kind,
        state=state,
        members=facts,
        stuck=stuck,
        leader_key=key,
        lag_limit_s=lag_limit_s,
    )
