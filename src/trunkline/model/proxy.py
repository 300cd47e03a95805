"""What HAProxy says of itself: processes, proxies, servers, sessions.

Values only. Parsing is in `trunkline.wire.runtime`; asking is in `trunkline.adapters.runtime_socket`.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address


class Health(StrEnum):
    """The operational state of a server in `show stat`, without the transition counters ("DOWN 1/2" is DOWN)."""

    UP = "UP"
    DOWN = "DOWN"
    NOLB = "NOLB"
    DRAIN = "DRAIN"
    MAINT = "MAINT"
    NO_CHECK = "no check"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """One server line of `show stat`.

    `check_status`: HAProxy's code of the last health check ("L7OK", "L4CON", "L7TOUT", "INI", ...), without the
    "* " that marks a check under way. `check_description`: the sentence with it. `check_duration_ms`: of that check.
    `last_change_s`: seconds since the health changed. `address`: "host:port". `total`: sessions so far;
    `failed_connects`: of clients, so far.
    """

    proxy: str
    name: str
    address: str
    health: Health
    sessions: int
    queued: int
    check_status: str = ""
    check_code: int | None = None
    check_description: str = ""
    check_duration_ms: int | None = None
    last_change_s: int = 0
    is_backup: bool = False
    sessions_limit: int | None = None
    total: int = 0
    failed_connects: int = 0

    @property
    def takes_sessions(self) -> bool:
        """Whether new sessions are sent here."""
        return self.health in (Health.UP, Health.NO_CHECK)

    @property
    def has_no_checks(self) -> bool:
        """Nobody asks this member: `show stat` has no result then. In maintenance checks rest anyway."""
        return not self.is_backup and self.health is not Health.MAINT and not self.check_status


def is_same_address(one: str, other: str) -> bool:
    """Whether two "host:port" may be the same place, however IPv6 is written; "" and names of hosts may be any."""
    if not one or not other:
        return True
    (host, port), (other_host, other_port) = _parts(one), _parts(other)
    return port == other_port and (host is None or other_host is None or host == other_host)


@lru_cache(maxsize=4096)
def _parts(address: str) -> tuple[IPv4Address | IPv6Address | None, str]:
    host, _, port = address.rpartition(":")
    try:
        return ip_address(host.strip("[]")), port
    except ValueError:
        return None, port


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyState:
    """One proxy: its frontend's and backend's lines of `show stat` and its servers, sorted by name.

    `frontend_status`: "OPEN", "STOP", ... or "" where the proxy has no frontend; likewise `backend_status`. `ids`: the
    worker's own numbers for it, two where frontend and backend are apart.
    """

    name: str
    frontend_status: str = ""
    backend_status: str = ""
    frontend_sessions: int = 0
    sessions: int = 0
    queued: int = 0
    servers: tuple[ServerState, ...] = ()
    ids: tuple[int, ...] = field(default=(), compare=False)

    def server(self, name: str) -> ServerState | None:
        """The server of that name, if the proxy has it."""
        return next((server for server in self.servers if server.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessInfo:
    """`show info`: which process answers."""

    version: str
    pid: int
    uptime_s: int
    maxconn: int
    is_stopping: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One session of `show sess <id>`, as `trunkline who` needs it.

    `client`: "address:port" of the client; "unix:2" and the like where the session came in through the hold.
    `towards_server`: our own "address:port" on the connection to PostgreSQL, which PostgreSQL shows as client_addr and
    client_port; "" while there is none. `bytes_sent`, `bytes_received`: by the client, so far.
    """

    session_id: str
    frontend: str
    backend: str
    server: str
    client: str
    towards_server: str
    age_s: int
    bytes_sent: int = 0
    bytes_received: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyView:
    """Everything of one HAProxy at one moment; `proxies` sorted by name; `held` counts parked clients per proxy.
    `closed_by_agent`: (proxy, server) that an agent has drained or set to maintenance, under its lease;
    `unchecked_by_agent`: whose checks it has suspended. `refusing`: proxies whose ports our Lua has closed itself.
    """

    info: ProcessInfo
    proxies: tuple[ProxyState, ...]
    held: tuple[tuple[str, int], ...] = ()
    closed_by_agent: frozenset[tuple[str, str]] = frozenset()
    unchecked_by_agent: frozenset[tuple[str, str]] = frozenset()
    refusing: frozenset[str] = frozenset()

    def proxy(self, name: str) -> ProxyState | None:
        """The proxy of that name, if HAProxy has it."""
        return next((proxy for proxy in self.proxies if proxy.name == name), None)

    def held_at(self, name: str) -> int:
        """How many clients are parked in front of that proxy."""
        return dict(self.held).get(name, 0)
