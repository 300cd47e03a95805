"""What the agent would do now: asks everybody once, as the agent does in a burst, and has it decided. Nothing is done.

Renews no lease, and needs no agent. What follows from the answers is `trunkline.plan.steering`.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace

from trunkline.adapters.patroni_rest import PatroniRest
from trunkline.adapters.postgres_port import probe
from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.agent import memory
from trunkline.agent.other_members import OtherMembers
from trunkline.agent.watching import ANSWER_TIMEOUT_S, PORT_TIMEOUT_S
from trunkline.config.settings import ApiSettings, ClusterSettings, ReplicaServiceSettings, Settings
from trunkline.errors import PatroniError, RuntimeSocketError, SilentError
from trunkline.model.cluster import ClusterView
from trunkline.model.desired import Server, Service, ServiceKind
from trunkline.model.facts import LeaderKey, Lease, MemberFacts, PortFact, RestFact, Situation
from trunkline.model.planned import ServicePlan
from trunkline.model.proxy import ProxyView
from trunkline.operate.places import find_directory, find_haproxy
from trunkline.operate.status import read_asked
from trunkline.plan.dry_run import describe
from trunkline.plan.explain import wanted_services
from trunkline.wire.runtime import UnknownCommandError


async def read_plans(settings: Settings) -> tuple[ServicePlan, ...]:
    """The plan of each service. Raises TrunklineError where a cluster or HAProxy gives no answer."""
    socket = RuntimeSocket(find_haproxy(settings).admin_socket)
    view, lease = await socket.view(), await _lease(socket)
    remembered = memory.load(find_directory(settings))
    seen = [await _cluster(chosen, remembered) for chosen in settings.clusters]
    services = wanted_services(settings, tuple(seen))
    asked, problem = read_asked(settings)
    plans: list[ServicePlan] = []
    for chosen, cluster, its in zip(settings.clusters, seen, services, strict=True):
        urls = {member.name: member.api_url for member in cluster.members}
        servers = {server.member: server for service in its for server in service.servers}
        facts = await asyncio.gather(*(_ask(chosen.api, urls[name], server) for name, server in servers.items()))
        key = await _leader_key(chosen.api, tuple(urls.values()))
        told = _with_lags(facts)
        own = tuple(it for it in asked if it.drain.scope == cluster.scope)
        situations = (
            _situation(service, view, lease, told, key, _lag_limit_s(chosen, service.kind)) for service in its
        )
        plans += [describe(replace(situation, asked=own)) for situation in situations if situation is not None]
    return tuple(
        replace(it, warnings=(*it.warnings, f"what was asked for cannot be read: {problem}")) if problem else it
        for it in plans
    )


async def _lease(socket: RuntimeSocket) -> Lease:
    try:
        return await socket.lease()
    except UnknownCommandError:
        raise RuntimeSocketError(
            "this HAProxy has no part of ours for an agent", hint="give it the configuration: trunkline apply"
        ) from None


async def _cluster(chosen: ClusterSettings, remembered: str) -> ClusterView:
    known = memory.recalled(remembered, chosen)
    async with PatroniRest(chosen.api) as patroni:
        return await patroni.view((*chosen.patroni, *(known.urls if known is not None else ())), scope=chosen.scope)


async def _leader_key(api: ApiSettings, urls: tuple[str, ...]) -> LeaderKey | None:
    """As the first member says that has read the store for it; asked last, since it ages soonest."""
    asked_at = time.monotonic()
    async with PatroniRest(api) as patroni:
        others = OtherMembers()
        others.rest, others.urls = patroni, urls
        key = await others.ask()
    return replace(key, age_s=time.monotonic() - asked_at) if key is not None else None


async def _ask(api: ApiSettings, url: str, server: Server) -> MemberFacts:
    rest, port = await asyncio.gather(_rest(api, url), _port(server))
    address = str(server.postgres)
    return MemberFacts(name=server.member, server=server.name, rest=rest, port=port, address=address)


async def _rest(api: ApiSettings, url: str) -> RestFact | None:
    asked_at, answer, why = time.monotonic(), None, ""
    quick = api.model_copy(update={"timeout_s": min(ANSWER_TIMEOUT_S, api.timeout_s)})
    try:
        async with PatroniRest(quick) as patroni:
            answer = await patroni.member(url, "/primary")
    except SilentError as error:
        why = error.message
    except PatroniError:
        return None
    took_s = time.monotonic() - asked_at
    return RestFact(answer=answer, age_s=took_s, took_s=took_s, why=why)


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


async def _port(server: Server) -> PortFact:
    asked_at = time.monotonic()
    verdict = await probe(server.postgres.address, server.postgres.port, timeout_s=PORT_TIMEOUT_S)
    took_s = time.monotonic() - asked_at
    return PortFact(verdict=verdict, age_s=took_s, took_s=took_s)


def _situation(
    service: Service,
    view: ProxyView,
    lease: Lease,
    facts: tuple[MemberFacts, ...],
    key: LeaderKey | None,
    lag_limit_s: float | None,
) -> Situation | None:
    state = view.proxy(service.proxy)
    if state is None or (service.kind is ServiceKind.PRIMARY and service.serves_standby_leader):
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
