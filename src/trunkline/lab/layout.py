"""Where everything of a lab is: directories, addresses, ports. Pure arithmetic on paths and numbers.

Members sit on 127.0.0.11, .12, ... with the same ports on each, as real hosts do; etcd on 127.0.0.10, the balancer
on 127.0.0.1. Separate so that starting, stopping and reading a lab agree on the places without asking each other.
"""

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from trunkline.config.values import A_PATH, PlainPath
from trunkline.errors import LabError, UsageError

PLAIN_PATH: TypeAdapter[Path] = TypeAdapter(PlainPath)
SHORT_AND_PLAIN = "choose another with --dir, such as /tmp/demo"
SCOPE = "demo"
MAX_NODES = 20
MAX_PORT_OFFSET = 50_000
# sun_path holds 108 bytes; HAProxy binds a socket under a temporary name first: the path, a dot, its pid, ".tmp".
MAX_SOCKET_PATH = 107 - len(".4194304.tmp")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberPlace:
    """Where one member lives. `directory` holds its configuration, logs and data directory."""

    name: str
    host: str
    port: int
    api_port: int
    directory: Path

    @property
    def api_url(self) -> str:
        """The base of its REST API, without a path."""
        return f"http://{self.host}:{self.api_port}"

    @property
    def data_dir(self) -> Path:
        """PostgreSQL's data directory."""
        return self.directory / "data"

    @property
    def patroni_config(self) -> Path:
        """The local configuration that Patroni is started with."""
        return self.directory / "patroni.yml"

    @property
    def patroni_log(self) -> Path:
        """What Patroni says."""
        return self.directory / "patroni.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One lab: its directory, its size and how far its ports are moved from the usual ones."""

    root: Path
    node_count: int = 3
    port_offset: int = 0

    @property
    def members(self) -> tuple[MemberPlace, ...]:
        """Every member, sorted by name as long as there are fewer than ten."""
        return tuple(
            MemberPlace(
                name=f"pg{number}",
                host=f"127.0.0.{10 + number}",
                port=5432 + self.port_offset,
                api_port=8008 + self.port_offset,
                directory=self.root / "members" / f"pg{number}",
            )
            for number in range(1, self.node_count + 1)
        )

    def member(self, name: str) -> MemberPlace:
        """The member of that name; an unknown one is a usage error that lists those that there are."""
        for place in self.members:
            if place.name == name:
                return place
        names = ", ".join(place.name for place in self.members)
        raise UsageError(f"the lab has no member {name!r}", hint=f"its members are {names}")

    @property
    def etcd_dir(self) -> Path:
        """etcd's data and log."""
        return self.root / "etcd"

    @property
    def etcd_host(self) -> str:
        """etcd's address; one node, since the lab is about PostgreSQL's failures, not the store's."""
        return "127.0.0.10"

    @property
    def etcd_port(self) -> int:
        """Where etcd serves clients."""
        return 2379 + self.port_offset

    @property
    def etcd_peer_port(self) -> int:
        """Where etcd would serve other etcd nodes; it cannot be switched off."""
        return 2380 + self.port_offset

    @property
    def etcd_url(self) -> str:
        """etcd's client URL."""
        return f"http://{self.etcd_host}:{self.etcd_port}"

    @property
    def balancer_dir(self) -> Path:
        """Everything that `trunkline run` keeps: haproxy.cfg, sockets, pid file."""
        return self.root / "balancer"

    @property
    def listen(self) -> dict[str, tuple[str, int]]:
        """The balancer's ports by service."""
        return {
            "primary": ("127.0.0.1", 5000 + self.port_offset),
            "replicas": ("127.0.0.1", 5001 + self.port_offset),
            "stats": ("127.0.0.1", 7000 + self.port_offset),
        }

    @property
    def cluster_ports(self) -> tuple[tuple[str, int], ...]:
        """Every address that etcd and the members need."""
        etcd = ((self.etcd_host, self.etcd_port), (self.etcd_host, self.etcd_peer_port))
        return etcd + tuple((place.host, port) for place in self.members for port in (place.port, place.api_port))

    @property
    def all_ports(self) -> tuple[tuple[str, int], ...]:
        """Every address that the whole lab needs, the balancer's first: those are the ones that people know."""
        return tuple(self.listen.values()) + self.cluster_ports


def plan_layout(root: Path, *, node_count: int = 3, port_offset: int = 0) -> Layout:
    """A layout for a directory, or the reason why it cannot be one."""
    if not 1 <= node_count <= MAX_NODES:
        raise UsageError(f"a lab of {node_count} nodes is not possible", hint=f"choose --nodes from 1 to {MAX_NODES}")
    if not 0 <= port_offset <= MAX_PORT_OFFSET:
        raise UsageError(
            f"a port offset of {port_offset} is not possible", hint=f"choose --port-offset from 0 to {MAX_PORT_OFFSET}"
        )
    try:
        PLAIN_PATH.validate_python(root)
    except ValidationError:
        raise LabError(f"{root} is not {A_PATH}: HAProxy would misread it", hint=SHORT_AND_PLAIN) from None
    layout = Layout(root=root, node_count=node_count, port_offset=port_offset)
    longest = layout.balancer_dir / "master.sock"
    excess = len(bytes(longest)) - MAX_SOCKET_PATH
    if excess > 0:
        raise LabError(
            f"the path of the directory is {excess} bytes too long for a unix socket: {root}",
            hint=SHORT_AND_PLAIN,
        )
    return layout
