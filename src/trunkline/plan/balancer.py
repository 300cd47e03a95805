"""From settings and what Patroni says to what HAProxy should be.

Owns every number that ends up in the configuration and the reason for it; `trunkline.render` only writes it down.
"""

from base64 import b64encode
from hashlib import sha256
from ipaddress import ip_address
from urllib.parse import quote, urlencode, urlsplit

from trunkline.config.settings import ClusterSettings, ReplicaServiceSettings, ServiceSettings, Settings
from trunkline.model.cluster import ClusterView, DynamicConfig, Member
from trunkline.model.desired import (
    Balancer,
    CheckTiming,
    CheckTls,
    Endpoint,
    Hold,
    HostFacts,
    Paths,
    Process,
    Server,
    Service,
    ServiceKind,
    Stats,
    Timeouts,
)
from trunkline.wire.names import to_haproxy

OWN_CONNECTIONS = 5
"""What a server keeps free beside PostgreSQL's own reserve: Patroni's three connections and an administrator's two."""

MAXCONN_CEILING = 10_000
"""PostgreSQL serves fewer; each session may cost HAProxy two buffers of 16 KiB."""

FILES_OF_OUR_OWN = 200
"""File descriptors of HAProxy that are not sessions: listeners, sockets, pipes of threads."""

FILES_PER_SERVER = 4
FILES_PER_SESSION = 2

LONGEST_WAIT_S = 3600.0
"""What settings allow at most, and what a cluster with an odd ttl gets: HAProxy counts no more than 24 days."""

MOST_BACKENDS = 262_143
"""PostgreSQL's own bound of max_connections."""

AS_SET = "as set"
"""Why there are so many sessions, where a person has said how many."""

RELIABLE_CLOCK = (2, 8)
"""The first HAProxy whose Lua actions wake up from every sleep."""

SEES_ADDED_SERVERS = (2, 8)
"""The first HAProxy whose Lua sees servers that were added while it runs."""

ROLE_PATHS = {
    ServiceKind.PRIMARY: "/primary",
    ServiceKind.REPLICAS: "/replica",
    ServiceKind.SYNC_REPLICAS: "/sync",
    ServiceKind.ASYNC_REPLICAS: "/async",
}

NOBODY = {
    ServiceKind.PRIMARY: "no primary is available",
    ServiceKind.REPLICAS: "no replica is available",
    ServiceKind.SYNC_REPLICAS: "no synchronous replica is available",
    ServiceKind.ASYNC_REPLICAS: "no asynchronous replica is available",
}


def desired_balancer(
    settings: Settings, clusters: tuple[ClusterView | None, ...], host: HostFacts, paths: Paths
) -> Balancer:
    """What HAProxy should be; `clusters` are the views of `settings.clusters`, in that order. A cluster that nobody
    has seen yet, None, has no services; the names of the others are as they will be with it.

    Member hosts and the hosts of their API URLs are expected as address literals; where an API URL still names a
    host, the member's own address stands in for it.
    """
    is_several = len(settings.clusters) > 1
    seen = [(chosen, view) for chosen, view in zip(settings.clusters, clusters, strict=True) if view is not None]
    services = tuple(
        service
        for chosen, view in sorted(seen, key=lambda pair: pair[1].scope)
        for service in _services(chosen, view, paths, prefix=f"{to_haproxy(view.scope)}_" if is_several else "")
    )
    maxconn, reason = choose_maxconn(settings.haproxy.maxconn, host, sum(len(s.servers) for s in services))
    haproxy = settings.haproxy
    account = None if haproxy.user or haproxy.group or haproxy.chroot else host.account
    chroot = account.chroot if account else str(haproxy.chroot) if haproxy.chroot else None
    return Balancer(
        paths=paths,
        process=Process(
            maxconn=maxconn,
            maxconn_reason=reason,
            threads=haproxy.threads,
            hard_stop_after_s=haproxy.hard_stop_after_s,
            log_target=haproxy.log,
            user=account.user if account else haproxy.user,
            group=account.group if account else haproxy.group,
            chroot=chroot,
            socket_group=haproxy.socket_group,
        ),
        timeouts=_timeouts(settings, services),
        services=services,
        stats=_stats(settings, paths),
        needs_bell=host.haproxy_version < RELIABLE_CLOCK,
        check_log=check_log_name(paths) if settings.agent.enabled and paths.master_socket else None,
        lua_socket=lua_socket(paths, chroot) if host.haproxy_version < SEES_ADDED_SERVERS else None,
    )


def check_log_name(paths: Paths) -> str:
    """The abstract socket that HAProxy tells of failed checks: one for each HAProxy of a host."""
    return f"trunkline-checks-{_digest(paths)}"


def lua_socket(paths: Paths, chroot: str | None) -> str:
    """The socket on which HAProxy's Lua gives commands: a file, which has an owner, where workers can reach it."""
    return f"{chroot}/trunkline-{_digest(paths)}.sock" if chroot else f"{paths.admin_socket}.lua"


def agent_metrics_name(paths: Paths) -> str:
    """The abstract socket where the agent tells its metrics: one that is found from inside a chroot, too."""
    return f"trunkline-metrics-{_digest(paths)}"


def _digest(paths: Paths) -> str:
    """The same for one HAProxy of a host, whoever asks."""
    return sha256(paths.admin_socket.encode()).hexdigest()[:12]


def choose_maxconn(wanted: int | str, host: HostFacts, servers: int) -> tuple[int, str]:
    """How many sessions HAProxy admits, and why: what was asked for, or what the file limit carries."""
    if isinstance(wanted, int):
        return wanted, AS_SET
    if host.file_limit is None:
        return MAXCONN_CEILING, "no file limit; PostgreSQL serves fewer"
    fits = (host.file_limit - FILES_OF_OUR_OWN - FILES_PER_SERVER * servers) // FILES_PER_SESSION
    if fits >= MAXCONN_CEILING:
        return MAXCONN_CEILING, f"the file limit of {host.file_limit} would carry {fits}; PostgreSQL serves fewer"
    return max(fits, 1), f"what the file limit of {host.file_limit} carries at two files a session"


def _services(chosen: ClusterSettings, view: ClusterView, paths: Paths, *, prefix: str) -> tuple[Service, ...]:
    wanted = (
        (ServiceKind.PRIMARY, chosen.services.primary),
        (ServiceKind.REPLICAS, chosen.services.replicas),
        (ServiceKind.SYNC_REPLICAS, chosen.services.sync_replicas),
        (ServiceKind.ASYNC_REPLICAS, chosen.services.async_replicas),
    )
    return tuple(_service(kind, its, chosen, view, paths, prefix) for kind, its in wanted if its is not None)


def _service(
    kind: ServiceKind, its: ServiceSettings, chosen: ClusterSettings, view: ClusterView, paths: Paths, prefix: str
) -> Service:
    has_fallback = (
        isinstance(its, ReplicaServiceSettings)
        and kind is ServiceKind.REPLICAS
        and its.fallback_to_primary
        and chosen.services.primary is not None
    )
    return Service(
        kind=kind,
        scope=view.scope,
        proxy=f"{prefix}postgres_{kind.value}",
        binds=tuple(Endpoint(address=bind.address, port=bind.port) for bind in its.bind),
        path=_check_path(kind, its, chosen),
        servers=tuple(_server(member, chosen) for member in sorted(view.members, key=lambda m: m.name)),
        timing=_check_timing(chosen, view.config),
        tls=_check_tls(chosen, view, paths),
        authorization=_authorization(chosen),
        hold=_hold(kind, chosen, view),
        server_maxconn=_server_maxconn(chosen, view.config),
        fallback_proxy=f"{prefix}postgres_primary" if has_fallback else None,
        slow_start_ms=int(its.slow_start_s * 1000) if isinstance(its, ReplicaServiceSettings) else 0,
        serves_standby_leader=kind is ServiceKind.PRIMARY and chosen.standby_leader,
    )


def _check_path(kind: ServiceKind, its: ServiceSettings, chosen: ClusterSettings) -> str:
    """The role check with what narrows it: Patroni itself compares lag and tags."""
    if kind is ServiceKind.PRIMARY:
        return "/leader" if chosen.standby_leader else ROLE_PATHS[kind]
    if not isinstance(its, ReplicaServiceSettings):
        return ROLE_PATHS[kind]
    query: dict[str, str] = {}
    if its.lag_limit_bytes is not None:
        query["lag"] = str(its.lag_limit_bytes)
    for tag, value in sorted(its.tags.items()):
        query[f"tag_{tag}"] = str(value).lower() if isinstance(value, bool) else str(value)
    return ROLE_PATHS[kind] + (f"?{urlencode(query, quote_via=quote)}" if query else "")


def _server(member: Member, chosen: ClusterSettings) -> Server:
    api = urlsplit(member.api_url)
    return Server(
        name=to_haproxy(member.name),
        member=member.name,
        postgres=Endpoint(address=member.host, port=chosen.postgres_port or member.port),
        api=Endpoint(
            address=api.hostname if api.hostname and _is_address(api.hostname) else member.host,
            port=api.port or (443 if api.scheme == "https" else 8008),
        ),
    )


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _check_timing(chosen: ClusterSettings, config: DynamicConfig) -> CheckTiming:
    checks = chosen.checks
    total_ms = (config.ttl_s / 3 if checks.silence_timeout_s is None else checks.silence_timeout_s) * 1000
    total_ms = min(total_ms, config.ttl_s * 1000 / 2, LONGEST_WAIT_S * 1000)
    pauses_ms = (checks.fall - 1) * checks.fast_interval_ms
    return CheckTiming(
        interval_ms=checks.interval_ms,
        fast_interval_ms=checks.fast_interval_ms,
        down_interval_ms=checks.down_interval_ms,
        fall=checks.fall,
        rise=checks.rise,
        silence_timeout_ms=max(int((total_ms - pauses_ms) / checks.fall), checks.interval_ms),
    )


def _check_tls(chosen: ClusterSettings, view: ClusterView, paths: Paths) -> CheckTls | None:
    if not any(member.api_url.startswith("https:") for member in view.members):
        return None
    api = chosen.api
    return CheckTls(
        ca_file=str(api.ca_file) if api.ca_file else None,
        certificate_file=client_certificate(view.scope, paths) if api.cert_file else None,
        verify=api.verify,
        server_name=api.server_name,
    )


def client_certificate(scope: str, paths: Paths) -> str:
    """Our client certificate for the REST API of a cluster: HAProxy wants certificate and key in one file, and a copy
    of its own lets a renewal be noticed."""
    return f"{paths.certificates}/trunkline-{to_haproxy(scope)}.pem"


def _authorization(chosen: ClusterSettings) -> str | None:
    api = chosen.api
    if api.username is None or api.password is None or not api.authenticate_checks:
        return None
    login = f"{api.username}:{api.password.get_secret_value()}"
    return "Basic " + b64encode(login.encode()).decode("ascii")


def _hold(kind: ServiceKind, chosen: ClusterSettings, view: ClusterView) -> Hold:
    hold, config = chosen.hold, view.config
    timeout_s = config.ttl_s + config.loop_wait_s + 5 if hold.timeout_s is None else hold.timeout_s
    refusal = NOBODY[kind]
    is_hopeless = kind is ServiceKind.PRIMARY and view.is_standby_cluster and not chosen.standby_leader
    if is_hopeless:
        refusal = "this is a standby cluster, no member of it takes writes"
    return Hold(
        timeout_ms=int(min(timeout_s, LONGEST_WAIT_S) * 1000) if hold.enabled and not is_hopeless else 0,
        unreached_timeout_ms=int(hold.unreached_timeout_s * 1000),
        max_connections=hold.max_connections,
        refusal=refusal,
    )


def _server_maxconn(chosen: ClusterSettings, config: DynamicConfig) -> int | None:
    """Sessions for one server, so that a release never meets "too many clients" (SQLSTATE 53300)."""
    wanted = chosen.server_maxconn
    if isinstance(wanted, int):
        return wanted
    if wanted == "off" or chosen.postgres_port is not None:
        return None
    reserved = config.superuser_reserved_connections + config.reserved_connections + OWN_CONNECTIONS
    return max((min(config.max_connections, MOST_BACKENDS) - reserved) // chosen.balancers, 1)


def _timeouts(settings: Settings, services: tuple[Service, ...]) -> Timeouts:
    chosen = settings.timeouts
    longest_hold_ms = max((service.hold.timeout_ms for service in services), default=0)
    queue_ms = longest_hold_ms if chosen.queue_s is None else int(chosen.queue_s * 1000)
    return Timeouts(
        connect_ms=int(chosen.connect_s * 1000),
        queue_ms=max(queue_ms, 1000),
        keepalive_idle_s=chosen.keepalive_idle_s,
        keepalive_interval_s=chosen.keepalive_interval_s,
        keepalive_count=chosen.keepalive_count,
        user_timeout_ms=int(chosen.user_timeout_s * 1000),
    )


def _stats(settings: Settings, paths: Paths) -> Stats | None:
    chosen = settings.stats
    if not chosen.enabled:
        return None
    return Stats(
        proxy="stats",
        binds=tuple(Endpoint(address=bind.address, port=bind.port) for bind in chosen.bind),
        refresh_s=chosen.refresh_s,
        user=chosen.user,
        password=chosen.password.get_secret_value() if chosen.password else None,
        agent_socket=agent_metrics_name(paths) if settings.agent.enabled else None,
    )
