"""The values that settings are made of, beyond numbers and text: addresses, sizes, URLs, names.

Owns what people may write and what becomes of it; a value that cannot be used is a `WrongValueError`, which says what
would be. Knows no file and no path in one. Everything here may end up in HAProxy's configuration, so nothing that
could end a line or a word there gets through.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema

PATRONI_PORT = 8008
"""Patroni's own default for its REST API."""

MAX_PORT = 65535
MAX_SOCKET_PATH = 96
"""Bytes: the kernel takes 107, and HAProxy binds the path with ".<pid>.tmp" behind it first."""

WILDCARDS = {"*", "0.0.0.0", "::"}


class WrongValueError(ValueError):
    """A value that cannot be used: what would be allowed, and a remedy where there is an obvious one."""

    def __init__(self, allowed: str, hint: str = "") -> None:
        super().__init__(f"allowed: {allowed}")
        self.allowed = allowed
        self.hint = hint


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

    @property
    def is_loopback(self) -> bool:
        """Whether only this host reaches it."""
        return not self.is_wildcard and ip_address(self.address).is_loopback

    def overlaps(self, other: "Bind") -> bool:
        """Whether the kernel would refuse to let both listen."""
        return self.port == other.port and (self._covers(other) or other._covers(self))

    def _covers(self, other: "Bind") -> bool:
        if self.address == "::" or self.address == other.address:
            return True
        return self.is_wildcard and (other.is_wildcard or ":" not in other.address)


BIND_FORMS = (
    'an address with a port: "*:5000" (every IPv4 address), "[::]:5000" (every address), "10.0.0.5:5000" or 5000'
)


def parse_bind(written: object) -> Bind:
    """`address:port`, `[v6]:port`, `*:port`, `:port` or the port alone."""
    if isinstance(written, Bind):
        return written
    if isinstance(written, bool) or not isinstance(written, str | int):
        raise WrongValueError(BIND_FORMS)
    address, _, port = str(written).strip().rpartition(":")
    if address.count(":") and not (address.startswith("[") and address.endswith("]")):
        raise WrongValueError(BIND_FORMS, "an IPv6 address stands in brackets")
    return Bind(address=_bind_address(address.removeprefix("[").removesuffix("]")), port=parse_port(port))


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


def parse_port(written: str) -> int:
    """A TCP port in decimal."""
    if not re.fullmatch(r"[0-9]{1,5}", written) or not 1 <= int(written) <= MAX_PORT:
        raise WrongValueError(BIND_FORMS, f"a port is a number from 1 to {MAX_PORT}")
    return int(written)


BindAddress = Annotated[
    Bind,
    PlainValidator(parse_bind),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": ["string", "integer"], "description": BIND_FORMS, "examples": ["*:5000", "[::1]:5000"]}),
]

URL_FORMS = 'the REST API of a member, such as "http://10.0.0.11:8008"'


def parse_api_url(written: object) -> str:
    """A Patroni REST API as `scheme://host:port`; scheme http and port 8008 may be left out, like Patroni's path."""
    if not isinstance(written, str):
        raise WrongValueError(URL_FORMS)
    text = written.strip()
    if text.count(":") > 1 and "//" not in text and "[" not in text:
        text = f"[{text}]"
    try:
        parts = urlsplit(text if "//" in text else f"http://{text}")
        host, port = parts.hostname or "", parts.port or PATRONI_PORT
    except ValueError:
        raise WrongValueError(URL_FORMS, "the host or the port in it cannot be read") from None
    if parts.scheme not in ("http", "https"):
        raise WrongValueError(URL_FORMS, "the scheme is http or https")
    if "@" in parts.netloc:
        raise WrongValueError(URL_FORMS, "user and password stand in api.username and api.password")
    if parts.path.rstrip("/") not in ("", "/patroni") or parts.query or parts.fragment:
        raise WrongValueError(URL_FORMS, "nothing stands behind the port")
    return f"{parts.scheme}://{_host(host)}:{port}"


def _host(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        if len(text) <= 253 and re.fullmatch(HOST_NAME, text):
            return text
        raise WrongValueError(URL_FORMS, "the host is a name or an address, an IPv6 address in brackets") from None
    return f"[{address}]" if address.version == 6 else str(address)


HOST_NAME = r"(?=.*[A-Za-z])[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?"

ApiUrl = Annotated[
    str,
    BeforeValidator(parse_api_url),
    WithJsonSchema({"type": "string", "description": URL_FORMS, "examples": ["http://10.0.0.11:8008"]}),
]

SIZE_UNITS = {"": 1, "B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
"""As Patroni and PostgreSQL read them: powers of 1024."""

SIZE_FORMS = 'a size such as "16MB" (kB, MB, GB, TB) or a number of bytes'
MAX_SIZE = 2**63 - 1


def parse_size(written: object) -> int:
    """Bytes, from `16MB` or a number."""
    if isinstance(written, bool) or not isinstance(written, str | int):
        raise WrongValueError(SIZE_FORMS)
    match = re.fullmatch(r"([0-9]{1,19})\s*([A-Za-z]*)", written.strip()) if isinstance(written, str) else None
    if match and match[2].upper() in SIZE_UNITS:
        size = int(match[1]) * SIZE_UNITS[match[2].upper()]
    elif isinstance(written, int):
        size = written
    else:
        raise WrongValueError(SIZE_FORMS)
    if not 0 <= size <= MAX_SIZE:
        raise WrongValueError(SIZE_FORMS, "neither below zero nor beyond what PostgreSQL counts")
    return size


def _written_size(written: object) -> str | int:
    parse_size(written)
    return written if isinstance(written, int) else str(written).strip()


Size = Annotated[
    str | int,
    PlainValidator(_written_size),
    WithJsonSchema({"type": ["string", "integer"], "description": SIZE_FORMS, "examples": ["16MB", 1048576]}),
]


def _not_boolean(value: object) -> object:
    """Python takes `true` for 1; nobody who writes it means that."""
    if isinstance(value, bool):
        raise WrongValueError("a number")
    return value


Integer = Annotated[int, BeforeValidator(_not_boolean)]
Seconds = Annotated[float, BeforeValidator(_not_boolean)]


MAX_SESSIONS = 1_000_000


def sessions_or(*words: str) -> Callable[[object], int | str]:
    """Check a number of sessions, or one of some words; a bare `off`, which YAML reads as false, is the word."""
    allowed = f"a number from 1 to {MAX_SESSIONS}, " + " or ".join(f'"{word}"' for word in words)

    def check(written: object) -> int | str:
        text = "off" if written is False else str(written).strip() if isinstance(written, str) else written
        if isinstance(text, str) and text in words:
            return text
        if isinstance(text, str) and re.fullmatch(r"[0-9]{1,18}", text):
            text = int(text)
        if isinstance(text, bool) or not isinstance(text, int) or not 1 <= text <= MAX_SESSIONS:
            raise WrongValueError(allowed)
        return text

    return check


def _sessions_schema(*words: str) -> WithJsonSchema:
    number = {"type": "integer", "minimum": 1, "maximum": MAX_SESSIONS}
    return WithJsonSchema({"anyOf": [number, {"enum": list(words)}]})


SessionsOrAuto = Annotated[int | Literal["auto"], PlainValidator(sessions_or("auto")), _sessions_schema("auto")]
SessionsOrAutoOrOff = Annotated[
    int | Literal["auto", "off"], PlainValidator(sessions_or("auto", "off")), _sessions_schema("auto", "off")
]


def _tag_value(written: object) -> bool | int | str:
    if isinstance(written, bool | int):
        return written
    if isinstance(written, str):
        return _printable(written)
    raise WrongValueError("what the tag is in patroni.yml: text, a whole number, true or false")


TagValue = Annotated[
    bool | int | str, PlainValidator(_tag_value), WithJsonSchema({"type": ["string", "integer", "boolean"]})
]


def _printable(text: str) -> str:
    if not text or not text.isprintable() or text != text.strip():
        raise WrongValueError("printable text in one line, without blanks at its ends")
    return text


Line = Annotated[str, AfterValidator(_printable)]
"""Text that may stand in a comment or between quotes of HAProxy's configuration."""


def word(pattern: str, allowed: str) -> Any:
    """Text that may stand as a word of HAProxy's configuration."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise WrongValueError(allowed)
        return text

    return AfterValidator(check)


UserName = Annotated[str, word(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", "a user or group name of this host")]
HostName = Annotated[str, word(HOST_NAME, "a host name")]
LogTarget = Annotated[
    str,
    word(r"stdout|stderr|/[A-Za-z0-9_./@:+-]{1,90}|[A-Za-z0-9_.:\[\]-]{1,253}", '"stdout", "/dev/log" or "host:514"'),
]
Login = Annotated[str, word(r"[A-Za-z0-9_.@-]{1,64}", "letters, digits and _ . @ -, at most 64")]
TagName = Annotated[str, word(r"[A-Za-z0-9_.-]{1,64}", "a tag's name as in patroni.yml: letters, digits and _ . -")]


def _plain_path(path: Path) -> Path:
    if not re.fullmatch(r"[^\s\"'\\#$\x00-\x1f\x7f]+", str(path)):
        raise WrongValueError("a path without blanks, quotes, backslashes, # and $", "HAProxy would misread it")
    return path


def _socket_path(path: Path) -> Path:
    if len(str(path).encode("utf-8", "replace")) > MAX_SOCKET_PATH:
        raise WrongValueError(f"a path of at most {MAX_SOCKET_PATH} bytes", "no kernel takes a longer one")
    return path


PlainPath = Annotated[Path, AfterValidator(_plain_path)]
SocketPath = Annotated[Path, AfterValidator(_plain_path), AfterValidator(_socket_path)]
