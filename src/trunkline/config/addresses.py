"""Addresses in settings: where HAProxy listens and logs to, and where Patroni's REST API is.

Owns the forms in which people write them. Whether an address is one of this host, or answers, is not asked here.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema

from trunkline.config.values import Allowed, WrongValueError

PATRONI_PORT, ETCD_PORT = 8008, 2379
"""The defaults of Patroni's REST API and of etcd."""

MAX_PORT = 65535
WILDCARDS = {"*", "0.0.0.0", "::"}
MAX_HOST_NAME = 253

BIND_FORMS = 'address and port, as "*:5000" (every IPv4 address), "[::]:5000" (every address), 10.0.0.5:5000 or 5000'
URL_FORMS = "the REST API of a member, as http://10.0.0.11:8008"
ETCD_FORMS = "an etcd of the cluster, as http://10.0.0.11:2379"
A_HOST_NAME = "a host name"
A_LOG = "stdout, stderr, the path of a socket such as /dev/log, or host:port"


@dataclass(frozen=True, slots=True)
class Bind:
    """Where HAProxy listens. `address` is a literal; "*" is every IPv4 address, "::" every address of both families."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @property
    def is_wildcard(self) -> bool:
        """Whether every address of the host is meant."""
        return self.address in WILDCARDS

    def overlaps(self, other: "Bind") -> bool:
        """Whether the kernel would refuse to let both listen."""
        return self.port == other.port and (self._covers(other) or other._covers(self))

    def _covers(self, other: "Bind") -> bool:
        if self.address in ("::", other.address):
            return True
        return self.is_wildcard and (other.is_wildcard or ":" not in other.address)


def parse_bind(written: object) -> Bind:
    """`address:port`, `[v6]:port`, `*:port`, `:port` or the port alone."""
    if isinstance(written, Bind):
        return written
    if isinstance(written, bool) or not isinstance(written, str | int):
        raise WrongValueError(BIND_FORMS)
    address, _, port = str(written).strip().rpartition(":")
    is_bracketed = address.startswith("[") and address.endswith("]")
    if ":" in address and not is_bracketed:
        raise WrongValueError(BIND_FORMS, "an IPv6 address stands in brackets")
    return Bind(address=_bind_address(address[1:-1] if is_bracketed else address), port=_port(port))


def _bind_address(text: str) -> str:
    if text in ("", "*"):
        return "*"
    if text == "localhost":
        raise WrongValueError(BIND_FORMS, "write 127.0.0.1")
    if "%" in text:
        raise WrongValueError(BIND_FORMS, "HAProxy takes no zone in an address")
    try:
        return str(ip_address(text))
    except ValueError:
        raise WrongValueError(BIND_FORMS, "one of this host's addresses, no name") from None


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= MAX_PORT:
        raise WrongValueError(BIND_FORMS, f"a port is a number from 1 to {MAX_PORT}")
    return int(text)


def parse_api_url(written: object) -> str:
    """A Patroni REST API as `scheme://host:port`; scheme http and port 8008 may be left out, like Patroni's path."""
    return _parse_url(written, URL_FORMS, port=PATRONI_PORT, paths=("", "/patroni"), section="api")


def parse_etcd_url(written: object) -> str:
    """An etcd as `scheme://host:port`; scheme http and port 2379 may be left out."""
    return _parse_url(written, ETCD_FORMS, port=ETCD_PORT, paths=("",), section="dcs.etcd")


def _parse_url(written: object, forms: str, *, port: int, paths: tuple[str, ...], section: str) -> str:
    """`port`: where none is written; `section`: where user and password belong."""
    if not isinstance(written, str):
        raise WrongValueError(forms)
    text = written.strip()
    if text.count(":") > 1 and "//" not in text and "[" not in text:
        text = f"[{text}]"
    try:
        parts = urlsplit(text if "//" in text else f"http://{text}")
        host, port = parts.hostname or "", port if parts.port is None else parts.port
    except ValueError:
        raise WrongValueError(forms, "the host or the port in it cannot be read") from None
    if parts.scheme not in ("http", "https"):
        raise WrongValueError(forms, "the scheme is http or https")
    if "@" in parts.netloc:
        raise WrongValueError(forms, f"user and password stand in {section}.username and {section}.password")
    if parts.path.rstrip("/") not in paths or parts.query or parts.fragment:
        raise WrongValueError(forms, "nothing stands behind the port")
    if port == 0:
        raise WrongValueError(forms, f"a port is a number from 1 to {MAX_PORT}")
    return f"{parts.scheme}://{_url_host(host, forms)}:{port}"


def _url_host(text: str, forms: str) -> str:
    if _is_host_name(text):
        return text
    try:
        address = ip_address(text)
    except ValueError:
        raise WrongValueError(forms, "the host is a name or an address, an IPv6 address in brackets") from None
    if "%" in text:
        raise WrongValueError(forms, "HAProxy takes no zone in an address")
    return f"[{address}]" if address.version == 6 else str(address)


def _is_host_name(text: str) -> bool:
    labels = text.removesuffix(".").split(".")
    is_named = all(re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", label) for label in labels)
    return is_named and len(text) <= MAX_HOST_NAME and not labels[-1].isdigit()


def _host_name(text: str) -> str:
    if not _is_host_name(text):
        raise WrongValueError(A_HOST_NAME)
    return text


def _log_target(text: str) -> str:
    if re.fullmatch(r"stdout|stderr|/[A-Za-z0-9_./@:+-]{1,90}", text):
        return text
    host, _, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if is_bracketed else host)
    except ValueError:
        is_host = _is_host_name(host)
    else:
        is_host = is_bracketed == (address.version == 6) and "%" not in host
    if not is_host or not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= MAX_PORT:
        raise WrongValueError(A_LOG)
    return text


def _several(written: object) -> object:
    """One address needs no list."""
    return [written] if isinstance(written, str | int | Bind) and not isinstance(written, bool) else written


def _one_or_several(item: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [item, {"type": "array", "items": item}]})


BindAddress = Annotated[Bind, PlainValidator(parse_bind), PlainSerializer(str, return_type=str), Allowed(BIND_FORMS)]
BindAddresses = Annotated[
    tuple[BindAddress, ...],
    BeforeValidator(_several),
    _one_or_several({"type": ["string", "integer"], "examples": ["*:5000", "[::1]:5000", 5000]}),
]
ApiUrl = Annotated[str, BeforeValidator(parse_api_url), Allowed(URL_FORMS)]
ApiUrls = Annotated[
    tuple[ApiUrl, ...],
    BeforeValidator(_several),
    _one_or_several({"type": "string", "examples": ["http://10.0.0.11:8008"]}),
]
EtcdUrls = Annotated[
    tuple[Annotated[str, BeforeValidator(parse_etcd_url), Allowed(ETCD_FORMS)], ...],
    BeforeValidator(_several),
    _one_or_several({"type": "string", "examples": ["http://10.0.0.11:2379"]}),
]
HostName = Annotated[str, AfterValidator(_host_name), Allowed(A_HOST_NAME)]
LogTarget = Annotated[str, AfterValidator(_log_target), Allowed(A_LOG)]
