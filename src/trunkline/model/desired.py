"""What HAProxy should be: every value that the configuration is rendered from, and nothing that it is not.

`trunkline.plan.balancer` decides these values; `trunkline.render.haproxy` writes them down. Times carry their unit
in the name; addresses are literals (names are resolved before they get here).
"""

from dataclasses import dataclass
from enum import StrEnum


class ServiceKind(StrEnum):
    """What a port leads to."""

    PRIMARY = "primary"
    REPLICAS = "replicas"
    SYNC_REPLICAS = "sync_replicas"
    ASYNC_REPLICAS = "async_replicas"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An address literal and a port; address "*" is every IPv4 address, "::" with `v4v6` semantics every address."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckTls:
    """How HAProxy speaks TLS to the REST API; `certificate_file` holds certificate and key in one PEM."""

    ca_file: str | None = None
    certificate_file: str | None = None
    verify: bool = True
    server_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckTiming:
    """When HAProxy asks, and how many answers count (docs/adr/0004)."""

    interval_ms: int
    fast_interval_ms: int
    down_interval_ms: int
    fall: int
    rise: int
    silence_timeout_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One member in one service. `name` is HAProxy's word for it, `member` is Patroni's (`trunkline.wire.names`)."""

    name: str
    member: str
    postgres: Endpoint
    api: Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """How long clients wait for a server, and what they are told when they have waited enough.

    `timeout_ms` 0 refuses at once. `unreached_timeout_ms`: where no member's API is reached at all.
    `max_connections`: how many may wait at once. `refusal`: the sentence of the 57P03 answer.
    """

    timeout_ms: int
    unreached_timeout_ms: int
    max_connections: int
    refusal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One port (or several binds) and the members behind it, sorted by name.

    `path`: the role check, with its query. `fallback_proxy`: whom to hand clients to when no member qualifies.
    `server_maxconn`: sessions a server takes at once, None without a limit. `slow_start_ms`: until one that has come
    gets its full share of new sessions, 0 for at once.
    """

    kind: ServiceKind
    scope: str
    proxy: str
    binds: tuple[Endpoint, ...]
    path: str
    servers: tuple[Server, ...]
    timing: CheckTiming
    tls: CheckTls | None
    authorization: str | None
    hold: Hold
    server_maxconn: int | None
    fallback_proxy: str | None = None
    serves_standby_leader: bool = False
    slow_start_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Of the data path. An idle session is never cut; a dead peer is noticed by the kernel within
    `keepalive_idle_s + keepalive_interval_s * keepalive_count`, unacknowledged data within `user_timeout_ms`."""

    connect_ms: int
    queue_ms: int
    keepalive_idle_s: int
    keepalive_interval_s: int
    keepalive_count: int
    user_timeout_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The page for people and machines; `user` and `password` both or neither.

    `agent_socket`: the name of the abstract socket where the agent tells its metrics, None where there is no agent.
    """

    proxy: str
    binds: tuple[Endpoint, ...]
    refresh_s: int
    user: str | None = None
    password: str | None = None
    agent_socket: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where HAProxy's files are. `master_socket` is passed on the command line, where the run is ours."""

    config: str
    lua: str
    state: str
    admin_socket: str
    certificates: str
    master_socket: str | None = None
    pid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """How the HAProxy process runs. `user`, `group`, `chroot` None: as whoever starts it.

    `log_target`: HAProxy's `log` address ("stdout", "/dev/log", "10.0.0.9:514").
    `maxconn_reason`: why that number, for the comment beside it.
    """

    maxconn: int
    maxconn_reason: str
    threads: int | None
    hard_stop_after_s: int
    log_target: str
    user: str | None = None
    group: str | None = None
    chroot: str | None = None
    socket_group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Balancer:
    """One HAProxy: services sorted by scope, then in the order of ServiceKind.

    `needs_bell`: this version's Lua cannot wait by the clock (docs/adr/0007). `check_log`: the name of the abstract
    socket that is told of each failed check, None where nobody listens. `lua_socket`: the path of a socket for commands
    of HAProxy's own Lua, where it needs one (docs/adr/0011); workers reach it, inside their chroot if they have one.
    """

    paths: Paths
    process: Process
    timeouts: Timeouts
    services: tuple[Service, ...]
    stats: Stats | None
    needs_bell: bool
    check_log: str | None = None
    lua_socket: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whom workers run as, and the directory that they are locked into, where there is one."""

    user: str
    group: str
    chroot: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What the machine gives: the file limit that HAProxy will get (None: unlimited), its version as a pair.

    `account`: the one that the distribution has made for its HAProxy, where that is the HAProxy in question.
    """

    file_limit: int | None
    haproxy_version: tuple[int, int]
    account: Account | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedFile:
    """One file of the configuration, ready to be written; `mode` is octal permission bits."""

    path: str
    text: str
    mode: int
