"""A cluster's settings from the configuration of the Patroni on this host: scope, REST address, TLS, user.

Owns where that file is looked for and what its words mean to a client. It follows Patroni's own client
(`patroni.request`): CA from `ctl.cacert`, else `restapi.cafile`; a client certificate from `ctl.certfile` alone; the
user from `ctl`, else `restapi`. Everything else in the file is Patroni's business and is not judged here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trunkline.config.document import Document, read_document
from trunkline.config.faults import Fault, Faulty, Key, Origin
from trunkline.config.tree import Assignment

OTHER_STORES = ("etcd", "consul", "zookeeper", "exhibitor", "kubernetes")
WILDCARDS = {"", "*", "0.0.0.0", "::", "[::]"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where files are looked for when nobody names one."""

    settings: Path = Path("/etc/trunkline/trunkline.yml")
    patroni: tuple[Path, ...] = (Path("/etc/patroni/config.yml"), Path("/etc/patroni/patroni.yml"))
    patroni_directory: Path = Path("/etc/patroni")
    """Debian keeps one file per cluster here, as 15-main.yml, beside dcs.yml with the store's address."""


def find_patroni_config(places: Places) -> Path | None:
    """The configuration of the one Patroni on this host; None where there is none, or several."""
    for path in places.patroni:
        if _is_file(path):
            return path
    try:
        others = sorted(path for path in places.patroni_directory.glob("*.yml") if path.name != "dcs.yml")
    except OSError:
        return None
    return others[0] if len(others) == 1 else None


def _is_file(path: Path) -> bool:
    """Whether there is such a file; in a directory that this user may not look into there is none for us."""
    try:
        return path.is_file()
    except OSError:
        return False


def read_patroni_config(path: Path) -> list[Assignment]:
    """What the file says of its cluster, as settings of a single cluster. Raises Faulty."""
    document = read_document(path)
    reader = _Reader(document)
    scope, address = reader.text("scope"), _address(reader)
    missing = [("scope", scope), ("restapi.connect_address", address)]
    faults = [_missing(path, name) for name, value in missing if not value]
    if faults or not scope or not address:
        raise Faulty(*faults)
    scheme = "https" if reader.text("restapi", "certfile") else "http"
    found = [
        reader.assignment("scope", scope, ("scope",)),
        reader.assignment("patroni", [f"{scheme}://{address}"], ("restapi", "connect_address"), ("restapi", "listen")),
        *_authentication(reader),
        *_store(reader),
    ]
    return found + (_tls(reader) if scheme == "https" else [])


def _address(reader: "_Reader") -> str | None:
    """Where the API is reached from this host: what other members use, or else where it listens."""
    if (told := reader.text("restapi", "connect_address")) is not None:
        return told
    listen = reader.text("restapi", "listen")
    if listen is None:
        return None
    hosts, _, port = listen.rpartition(":")
    host = hosts.split(",")[0].strip()
    return f"{'127.0.0.1' if host in WILDCARDS else host}:{port}"


def _tls(reader: "_Reader") -> list[Assignment]:
    found = [
        reader.first("api.ca_file", ("ctl", "cacert"), ("restapi", "cafile")),
        reader.first("api.cert_file", ("ctl", "certfile")),
        reader.first("api.key_file", ("ctl", "keyfile")) if reader.text("ctl", "certfile") else None,
    ]
    if reader.get("ctl", "insecure") is True:
        found.append(reader.assignment("api.verify", False, ("ctl", "insecure")))
    return [assignment for assignment in found if assignment is not None]


def _authentication(reader: "_Reader") -> list[Assignment]:
    for section in ("ctl", "restapi"):
        keys = [(section, "authentication", word) for word in ("username", "password")]
        if all(reader.text(*key) for key in keys):
            found = [reader.first("api.username", keys[0]), reader.first("api.password", keys[1])]
            return [assignment for assignment in found if assignment is not None]
    return []


def _store(reader: "_Reader") -> list[Assignment]:
    """Where Patroni keeps the leader lock: an etcd with the v3 API, or another store that its library knows."""
    hosts, key = _etcd_hosts(reader)
    if not hosts:
        other = next((name for name in OTHER_STORES if reader.get(name) is not None), None)
        return [reader.assignment("dcs.patroni_config", str(reader.document.path), (other,))] if other else []
    scheme = reader.text("etcd3", "protocol") or "http"
    urls = [host if "//" in host else f"{scheme}://{host}" for host in hosts]
    names = {
        "username": "username",
        "password": "password",
        "ca_file": "cacert",
        "cert_file": "cert",
        "key_file": "key",
    }
    found = [
        reader.assignment("dcs.etcd.hosts", urls, key),
        reader.first("dcs.namespace", ("namespace",)),
        *(reader.first(f"dcs.etcd.{ours}", ("etcd3", theirs)) for ours, theirs in names.items()),
    ]
    return [assignment for assignment in found if assignment is not None]


def _etcd_hosts(reader: "_Reader") -> tuple[list[str], tuple[str, str]]:
    for word in ("hosts", "host", "url", "proxy"):
        told = reader.get("etcd3", word)
        hosts = told.split(",") if isinstance(told, str) else told if isinstance(told, Sequence) else []
        if named := [str(host).strip() for host in hosts if str(host).strip()]:
            return named, ("etcd3", word)
    return [], ("etcd3", "hosts")


def _missing(path: Path, name: str) -> Fault:
    hint = f"a complete patroni.yml has it; or name the cluster with `patroni:` and `scope:` in {Places().settings}"
    return Fault(origin=Origin(kind="patroni", name=str(path)), found=f"no {name}", hint=hint)


class _Reader:
    """Words of a Patroni configuration, whatever else may be in it."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def get(self, *key: str) -> object:
        value: object = self.document.values
        for part in key:
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def text(self, *key: str) -> str | None:
        value = self.get(*key)
        return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None

    def first(self, setting: str, *keys: Sequence[str]) -> Assignment | None:
        for key in keys:
            if value := self.text(*key):
                return self.assignment(setting, value, key)
        return None

    def assignment(self, setting: str, value: object, *keys: Sequence[str]) -> Assignment:
        """`keys`: where the value stands; the first that is there counts."""
        key: Key = next(tuple(key) for key in keys if self.get(*key) is not None)
        place = self.document.origins[key]
        origin = Origin(kind="patroni", name=place.name, line=place.line, column=place.column, key=key)
        return Assignment(key=tuple(setting.split(".")), value=value, origin=origin)
