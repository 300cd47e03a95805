"""From what Patroni and HAProxy say to what a person is told.

Pure: facts in, `Status` out. Why a member is in or out of a service is `reasons`; here is what a client of each port
gets, and whether the primary can be reached. Nothing is remembered between two calls.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trunkline.config.settings import ClusterSettings, ServiceSettings, Settings
from trunkline.model.cluster import ClusterView, Member, MemberAnswer, Role
from trunkline.model.desired import HostFacts, Service, ServiceKind
from trunkline.model.facts import Workers
from trunkline.model.intent import Asked, Drain
from trunkline.model.planned import AgentPlan
from trunkline.model.proxy import Health, ProxyState, ProxyView, ServerState
from trunkline.model.status import (
    ClusterStatus,
    DrainStatus,
    HAProxyStatus,
    MemberInService,
    MemberStatus,
    OldSessions,
    ServiceStatus,
    Status,
)
from trunkline.plan.balancer import desired_balancer
from trunkline.plan.paths import service_paths
from trunkline.plan.reasons import Case, Verdict, judge, last_check
from trunkline.wire.names import to_haproxy, to_patroni

ANY_HOST = HostFacts(file_limit=None, haproxy_version=(2, 6))
"""What the machine gives decides nothing that is explained here."""

Answers = Mapping[tuple[str, str], MemberAnswer | str]
"""What a member answered to a path, or why it did not, by its name and the path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts:
    """`view`: None where no API was of use, for the reason in `problem`. `asked_at`: when members were asked, in
    seconds since the epoch."""

    view: ClusterView | None
    problem: str = ""
    answers: Answers = field(default_factory=dict)
    asked_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`clusters`: one for each of the settings, in their order. `proxy`: None where HAProxy did not answer, for the
    reason in `proxy_problem`. `asked`: what people have asked for, as far as it can be read (`asked_problem`).
    `agent`: None where nobody has asked it."""

    clusters: tuple[ClusterFacts, ...]
    socket: str
    proxy: ProxyView | None
    proxy_problem: str = ""
    workers: Workers = field(default_factory=Workers)
    asked: tuple[Asked, ...] = ()
    asked_problem: str = ""
    agent: AgentPlan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One cluster with everything that is known of it."""

    chosen: ClusterSettings
    facts: ClusterFacts
    services: tuple[Service, ...]
    proxy: ProxyView | None
    asked: tuple[Asked, ...] = ()

    @property
    def scope(self) -> str:
        """Its name, "" where nobody has said it yet."""
        return self.facts.view.scope if self.facts.view else self.chosen.scope or ""

    @property
    def drains(self) -> Mapping[str, Drain]:
        """What people have asked for and is not over, by member."""
        own = (it.drain for it in self.asked if it.drain.scope == self.scope and it.is_in_force)
        return {drain.member: drain for drain in sorted(own, key=lambda drain: drain.member)}

    def state(self, service: Service) -> ProxyState | None:
        """HAProxy's side of a service."""
        return self.proxy.proxy(service.proxy) if self.proxy else None

    def server(self, service: Service, member: str) -> ServerState | None:
        """HAProxy's side of a member in a service."""
        state = self.state(service)
        return state.server(to_haproxy(member)) if state else None

    def answer(self, service: Service, member: str) -> MemberAnswer | None:
        """The member's answer to the question of a service."""
        answer = self.facts.answers.get((member, service.path))
        return answer if isinstance(answer, MemberAnswer) else None


def wanted_services(settings: Settings, views: tuple[ClusterView | None, ...]) -> tuple[tuple[Service, ...], ...]:
    """The services of each cluster, as they are rendered. A cluster that nobody has seen has services without servers,
    as far as their names are known."""
    is_alone = len(settings.clusters) == 1
    known = tuple(
        view or (ClusterView(scope=chosen.scope or "", members=()) if chosen.scope or is_alone else None)
        for chosen, view in zip(settings.clusters, views, strict=True)
    )
    services = desired_balancer(settings, known, ANY_HOST, service_paths(settings)).services
    return tuple(
        tuple(service for service in services if view is not None and service.scope == view.scope) for view in known
    )


def explain(settings: Settings, facts: Facts) -> Status:
    """Everything that a person is told."""
    services = wanted_services(settings, tuple(cluster.view for cluster in facts.clusters))
    clusters = tuple(
        _cluster(Scene(chosen=chosen, facts=cluster, services=its, proxy=facts.proxy, asked=facts.asked))
        for chosen, cluster, its in zip(settings.clusters, facts.clusters, services, strict=True)
    )
    judged = [
        cluster.is_primary_reachable
        for chosen, cluster in zip(settings.clusters, clusters, strict=True)
        if chosen.services.primary is not None
    ]
    info = facts.proxy.info if facts.proxy else None
    return Status(
        is_primary_reachable=bool(judged) and all(judged),
        haproxy=HAProxyStatus(
            socket=facts.socket,
            version=info.version if info else "",
            pid=info.pid if info else None,
            uptime_s=info.uptime_s if info else None,
            problem=facts.proxy_problem,
            old_workers=facts.workers.pids,
            old_sessions=tuple(
                OldSessions(pid=pid, service=service, server=server, sessions=count)
                for pid, service, server, count in facts.workers.sessions
            ),
        ),
        clusters=clusters,
        drains_problem=facts.asked_problem,
        agent=facts.agent,
    )


def _cluster(scene: Scene) -> ClusterStatus:
    view = scene.facts.view
    leader = view.leader if view else None
    members = tuple(_member(scene, name) for name in _names(scene))
    scheduled = view.scheduled_switchover if view else None
    return ClusterStatus(
        scope=scene.scope,
        leader=leader.name if leader else None,
        is_paused=view.is_paused if view else False,
        is_standby_cluster=view.is_standby_cluster if view else False,
        scheduled_switchover=(
            f"{scheduled.from_member or 'the leader'} to {scheduled.to_member or 'any member'} at {scheduled.at}"
            if scheduled
            else ""
        ),
        problem=scene.facts.problem,
        is_primary_reachable=any(
            _leads_to_the_primary(scene, service) for service in scene.services if service.kind is ServiceKind.PRIMARY
        ),
        members=members,
        services=tuple(_service(scene, service) for service in scene.services),
        drains=tuple(_drain(drain) for drain in scene.drains.values()),
    )


def _drain(drain: Drain) -> DrainStatus:
    return DrainStatus(
        member=drain.member,
        who=drain.who,
        since=drain.since.isoformat(),
        until=drain.until.isoformat() if drain.until is not None else None,
        why=drain.why,
        sentence=drain.words,
    )


def _names(scene: Scene) -> tuple[str, ...]:
    """The members that the cluster lists, and those that only HAProxy has; not those that have left and only wait in
    maintenance, should they come back."""
    listed = {member.name for member in scene.facts.view.members} if scene.facts.view else set()
    servers = [server for service in scene.services for server in _servers(scene, service)]
    served = {to_patroni(it.name) for it in servers if it.health is not Health.MAINT or it.sessions or not listed}
    return tuple(sorted(listed | served))


def _servers(scene: Scene, service: Service) -> tuple[ServerState, ...]:
    """The servers that are members; the backup leads back to the hold."""
    state = scene.state(service)
    return tuple(server for server in state.servers if not server.is_backup) if state else ()


def _member(scene: Scene, name: str) -> MemberStatus:
    view = scene.facts.view
    listed = next((member for member in view.members if member.name == name), None) if view else None
    own = next((it for (who, _), it in sorted(scene.facts.answers.items()) if who == name), None)
    services = tuple(_in_service(scene, service, name, listed) for service in scene.services)
    if listed is None:
        addresses = (server.address for service in scene.services if (server := scene.server(service, name)))
        return MemberStatus(
            name=name,
            address=next(addresses, ""),
            api_url="",
            role=Role.UNKNOWN,
            state="not listed" if view else "unknown",
            timeline=None,
            lag_bytes=None,
            services=services,
        )
    return MemberStatus(
        name=name,
        address=f"[{listed.host}]:{listed.port}" if ":" in listed.host else f"{listed.host}:{listed.port}",
        api_url=listed.api_url,
        role=listed.role,
        state=listed.state if not isinstance(own, MemberAnswer) or own.state == "running" else own.state,
        timeline=(own.timeline if isinstance(own, MemberAnswer) else None) or listed.timeline,
        lag_bytes=listed.lag_bytes,
        lag_s=_lag_s(scene, listed, own),
        tags=listed.tags,
        problem=own if isinstance(own, str) else "",
        services=services,
    )


def _lag_s(scene: Scene, listed: Member, own: MemberAnswer | str | None) -> float | None:
    """How old the last transaction is that it has replayed; only while it is behind, since nobody may write."""
    asked_at = scene.facts.asked_at
    if not listed.lag_bytes or asked_at is None or not isinstance(own, MemberAnswer) or own.replayed_at is None:
        return None
    return max(0.0, asked_at - own.replayed_at)


def _in_service(scene: Scene, service: Service, name: str, listed: Member | None) -> MemberInService:
    server, place = scene.server(service, name), (service.proxy, to_haproxy(name))
    case = Case(
        service=service,
        settings=_settings_of(scene.chosen, service.kind),
        member=listed,
        is_seen=scene.facts.view is not None,
        answer=scene.answer(service, name),
        server=server,
        is_asked=scene.state(service) is not None,
        is_closed_by_agent=scene.proxy is not None and place in scene.proxy.closed_by_agent,
        is_unchecked_by_agent=scene.proxy is not None and place in scene.proxy.unchecked_by_agent,
        drain=scene.drains.get(name) if service.kind is not ServiceKind.PRIMARY else None,
    )
    verdict: Verdict = judge(case)
    return MemberInService(
        service=service.proxy,
        kind=service.kind,
        health=server.health if server else None,
        check=last_check(server) if server else "",
        sessions=server.sessions if server else 0,
        queued=server.queued if server else 0,
        takes_sessions=server is not None and server.takes_sessions,
        qualifies=verdict.qualifies,
        agrees=verdict.agrees,
        reason=verdict.reason,
        is_notable=verdict.is_notable,
    )


def _settings_of(chosen: ClusterSettings, kind: ServiceKind) -> ServiceSettings:
    its = {
        ServiceKind.PRIMARY: chosen.services.primary,
        ServiceKind.REPLICAS: chosen.services.replicas,
        ServiceKind.SYNC_REPLICAS: chosen.services.sync_replicas,
        ServiceKind.ASYNC_REPLICAS: chosen.services.async_replicas,
    }[kind]
    return its or ServiceSettings()


def _leads_to_the_primary(scene: Scene, service: Service) -> bool:
    """Whether a client gets through to the one member that accepts writes. Where its API does not answer us, HAProxy's
    own truth check is believed, and the other members when they say that it holds the leader lock."""
    state = scene.state(service)
    taking = [server for server in _servers(scene, service) if server.takes_sessions]
    if state is None or state.frontend_status != "OPEN" or len(taking) != 1:
        return False
    answer = scene.answer(service, to_patroni(taking[0].name))
    if answer is None:
        return taking[0].check_status == "L7OK" or _is_leader(scene, taking[0])
    is_standby_leader = answer.role is Role.STANDBY_LEADER and answer.status_code == 200
    return answer.accepts_writes or (service.serves_standby_leader and is_standby_leader)


def _is_leader(scene: Scene, server: ServerState) -> bool:
    view = scene.facts.view
    return view is not None and view.leader is not None and to_haproxy(view.leader.name) == server.name


def _service(scene: Scene, service: Service) -> ServiceStatus:
    state = scene.state(service)
    taking = _taking(scene, service)
    sentence, is_notable = _sentence(scene, service, state, taking)
    is_open = state is not None and state.frontend_status == "OPEN"
    is_undecided = service.kind is ServiceKind.PRIMARY and len(taking) > 1
    return ServiceStatus(
        service=service.proxy,
        kind=service.kind,
        listens=tuple(map(str, service.binds)),
        is_open=is_open,
        members=(taking or _taking_instead(scene, service)) if is_open and not is_undecided else (),
        sessions=state.frontend_sessions if state else 0,
        queued=state.queued if state else 0,
        held=scene.proxy.held_at(service.proxy) if scene.proxy else 0,
        sentence=sentence,
        is_notable=is_notable,
    )


def _sentence(scene: Scene, service: Service, state: ProxyState | None, taking: tuple[str, ...]) -> tuple[str, bool]:
    """What a client gets here, and whether somebody should know."""
    if scene.proxy is None:
        return "HAProxy does not answer", False
    if state is None:
        return "HAProxy has no such service: its configuration is older than the settings, or not ours", True
    if state.frontend_status == "PAUSED" and service.proxy not in scene.proxy.refusing:
        undo = f"`enable frontend {service.proxy}` ends that"
        return f"the port is disabled by hand: connections are refused ({undo})", True
    if state.frontend_status == "PAUSED":
        return _hopeless(scene, service) or "connections are refused until somebody can serve them", True
    if state.frontend_status != "OPEN":
        return f"HAProxy does not listen ({state.frontend_status or 'no frontend'}): connections are refused", True
    if service.kind is ServiceKind.PRIMARY and len(taking) > 1:
        return f"{_and(taking)} claim to be the primary: new connections wait until one remains", True
    if taking:
        return f"{_and(taking)} {'serves' if len(taking) == 1 else 'serve'}", False
    return _without_members(scene, service), True


def _without_members(scene: Scene, service: Service) -> str:
    if hopeless := _hopeless(scene, service):
        return hopeless
    if instead := _taking_instead(scene, service):
        return f"no replica qualifies: the primary, {instead[0]}, serves here as well"
    if _reaches_nobody(scene, service):
        after_s = service.hold.unreached_timeout_ms / 1000
        return f"nobody serves, and HAProxy reaches no member: connections are refused after {after_s:g} s"
    hold_s = service.hold.timeout_ms / 1000
    waits = f"new connections wait, at most {hold_s:g} s" if hold_s else "connections are refused"
    return f"nobody serves: {waits}"


def _hopeless(scene: Scene, service: Service) -> str:
    """Why nobody will take writes however long a client waits; "" where somebody may."""
    view = scene.facts.view
    if service.kind is ServiceKind.PRIMARY and view and view.is_standby_cluster and not service.serves_standby_leader:
        return "this is a standby cluster, no member of it takes writes: connections are refused"
    return ""


def _reaches_nobody(scene: Scene, service: Service) -> bool:
    """Whether HAProxy has found nobody's API, as our Lua judges it."""
    checks = [server.check_status for server in _servers(scene, service) if server.check_status]
    return bool(checks) and all(check.startswith("L4") or check == "SOCKERR" for check in checks)


def _taking(scene: Scene, service: Service) -> tuple[str, ...]:
    """The members that HAProxy sends new sessions of this service to."""
    return tuple(to_patroni(server.name) for server in _servers(scene, service) if server.takes_sessions)


def _taking_instead(scene: Scene, service: Service) -> tuple[str, ...]:
    """The primary, where it is the last resort of a service without members."""
    fallback = next((it for it in scene.services if it.proxy == service.fallback_proxy), None)
    taking = _taking(scene, fallback) if fallback is not None and scene.state(service) is not None else ()
    return taking if len(taking) == 1 else ()


def _and(names: tuple[str, ...]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
