"""The JSON of Patroni's REST API to values: `/cluster`, `/config`, and the answer of one member.

Owns what the words of Patroni 3.0 to 4.x mean. An unknown role is UNKNOWN and an unknown state is kept as text, so that
a new Patroni stops nobody; what cannot be a cluster at all is a `PatroniError`, never another exception, whatever the
bytes. Addresses end up in HAProxy's configuration, so nothing gets through that could end a word there. Asking is
`trunkline.adapters.patroni_rest`; source: Patroni's "REST API" and its `cluster_as_json`.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from trunkline.errors import PatroniError
from trunkline.model.cluster import ClusterView, DynamicConfig, Member, MemberAnswer, Role, ScheduledSwitchover
from trunkline.wire.names import MAX_NAME_BYTES

POSTGRES_PORT = 5432
MAX_PORT = 65535
MAX_NUMBER = 2**63 - 1

ROLES = {
    "leader": Role.PRIMARY,
    "primary": Role.PRIMARY,
    "master": Role.PRIMARY,
    "promoted": Role.PRIMARY,
    "standby_leader": Role.STANDBY_LEADER,
    "sync_standby": Role.SYNC_STANDBY,
    "quorum_standby": Role.QUORUM_STANDBY,
    "replica": Role.REPLICA,
    "demoted": Role.REPLICA,
}
"""`/cluster` says "leader", a member itself says "primary", before Patroni 4.0 "master", and while its role changes
what it is becoming."""

Json = Mapping[str, object]


def parse_cluster(body: str | bytes) -> ClusterView:
    """`GET /cluster`: the DCS view. `config` has its defaults; `scope` is "" where an older Patroni does not say it."""
    cluster = _object(body)
    raw = cluster.get("members")
    if not isinstance(raw, list):
        raise _unusable("it lists no members")
    members = sorted((_member(one) for one in raw), key=lambda member: member.name)
    if len({member.name for member in members}) != len(members):
        raise _unusable("two of its members have the same name")
    return ClusterView(
        scope=_name("its scope", _text(cluster, "scope")),
        members=tuple(members),
        is_paused=cluster.get("pause") is True,
        scheduled_switchover=_scheduled(cluster.get("scheduled_switchover")),
    )


def parse_config(body: str | bytes) -> DynamicConfig:
    """`GET /config`: a value that Patroni itself would not use counts as absent."""
    config = _object(body)
    parameters = _part(_part(config, "postgresql"), "parameters")
    standby = _part(config, "standby_cluster")
    default = DynamicConfig()
    return DynamicConfig(
        ttl_s=_positive(config, "ttl", default.ttl_s),
        loop_wait_s=_positive(config, "loop_wait", default.loop_wait_s),
        max_connections=int(_positive(parameters, "max_connections", default.max_connections)),
        superuser_reserved_connections=_count(
            parameters, "superuser_reserved_connections", default.superuser_reserved_connections
        ),
        reserved_connections=_count(parameters, "reserved_connections", default.reserved_connections),
        is_standby_cluster=any(standby.get(key) for key in ("host", "port", "restore_command")),
    )


def parse_member_answer(status: int, body: str | bytes) -> MemberAnswer:
    """`GET /patroni`, or the body of any role check, with the status that came with it."""
    answer = _object(body)
    patroni = answer.get("patroni")
    if not isinstance(patroni, dict):
        raise _unusable("it does not say which version it is")
    xlog = _part(answer, "xlog")
    return MemberAnswer(
        scope=_name("its scope", _text(patroni, "scope")),
        name=_text(patroni, "name"),
        role=_own_role(answer),
        state=_text(answer, "state") or "unknown",
        patroni_version=_text(patroni, "version"),
        status_code=status,
        server_version=_whole(answer.get("server_version")),
        timeline=_whole(answer.get("timeline")),
        writes_location=_whole(xlog.get("location")),
        replay_location=_whole(xlog.get("replayed_location")),
        replayed_at=_moment(xlog.get("replayed_timestamp")),
        streaming=_streaming(answer.get("replication")),
    )


def _streaming(replication: object) -> frozenset[str]:
    """Names may be anybody's: what is none, nobody needs."""
    rows = replication if isinstance(replication, list) else []
    streams = [row for row in rows if isinstance(row, dict) and row.get("state") == "streaming"]
    return frozenset(name for row in streams if isinstance(name := row.get("application_name"), str))


def _own_role(answer: Json) -> Role:
    role = ROLES.get(_text(answer, "role"), Role.UNKNOWN)
    if role is Role.REPLICA and answer.get("sync_standby") is True:
        return Role.SYNC_STANDBY
    if role is Role.REPLICA and answer.get("quorum_standby") is True:
        return Role.QUORUM_STANDBY
    return role


def _member(raw: object) -> Member:
    if not isinstance(raw, dict):
        raise _unusable("one of its members is no JSON object")
    name = raw.get("name")
    if not isinstance(name, str) or not name:
        raise _unusable("one of its members has no name")
    _name("the name of one of its members", name)
    api_url, api_host = _api(name, raw.get("api_url"))
    lag = _whole(raw.get("replay_lag"))
    return Member(
        name=name,
        host=_host(name, raw.get("host")) or api_host,
        port=_port(name, raw.get("port")),
        api_url=api_url,
        role=ROLES.get(_text(raw, "role"), Role.UNKNOWN),
        state=_text(raw, "state") or "unknown",
        timeline=_whole(raw.get("timeline")),
        lag_bytes=_whole(raw.get("lag")) if lag is None else lag,
        tags=_part(raw, "tags"),
        proxy_url=_text(raw, "proxy_url") or None,
    )


def _name(what: str, name: str) -> str:
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        raise _unusable(f"{what} is longer than {MAX_NAME_BYTES} bytes")
    return name


def _api(name: str, url: object) -> tuple[str, str]:
    """The URL and the host in it."""
    if url is None:
        raise _unusable(f"member {name!r} has no api_url")
    try:
        parts = urlsplit(str(url))
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise _unusable(f"member {name!r} has an api_url that cannot be read, {url!r}") from None
    if parts.scheme not in ("http", "https") or not str(url).isprintable() or not _is_host(host):
        raise _unusable(f"member {name!r} has an api_url that cannot be read, {url!r}")
    return str(url), host


def _host(name: str, host: object) -> str:
    """ "" where Patroni does not know it, which is so while a member starts for the first time."""
    if host is None or host == "":
        return ""
    if not isinstance(host, str) or not _is_host(host.strip("[]")):
        raise _unusable(f"member {name!r} has a host that is no address, {host!r}")
    return host.strip("[]")


def _is_host(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9_.:-]{1,253}", text))


def _port(name: str, port: object) -> int:
    number = POSTGRES_PORT if port is None else _whole(port)
    if number is None or not 1 <= number <= MAX_PORT:
        raise _unusable(f"member {name!r} has a port that is none, {port!r}")
    return number


def _scheduled(raw: object) -> ScheduledSwitchover | None:
    if not isinstance(raw, dict) or not _text(raw, "at"):
        return None
    return ScheduledSwitchover(
        at=_text(raw, "at"), from_member=_text(raw, "from") or None, to_member=_text(raw, "to") or None
    )


def _object(body: str | bytes) -> Json:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        raise _unusable("it is no JSON") from None
    if not isinstance(parsed, dict):
        raise _unusable("it is no JSON object")
    return parsed


def _part(whole: Json, key: str) -> Json:
    part = whole.get(key)
    return part if isinstance(part, dict) else {}


def _text(whole: Json, key: str) -> str:
    value = whole.get(key)
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int | None:
    """A whole number that a database would know; Patroni writes most as numbers and some settings as text."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,19}", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_NUMBER:
        return None
    return value


def _moment(value: object) -> float | None:
    """Seconds since the epoch; a time without a zone could be any."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return moment.timestamp() if moment is not None and moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _count(whole: Json, key: str, default: int) -> int:
    value = _whole(whole.get(key))
    return default if value is None else value


def _positive(whole: Json, key: str, default: float) -> float:
    return _whole(whole.get(key)) or default


def _unusable(why: str) -> PatroniError:
    return PatroniError(
        f"not the answer of a Patroni: {why}", hint="is this the REST API of a Patroni, and not another service?"
    )
