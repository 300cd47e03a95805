"""The values that settings are made of, beyond plain numbers: text, sizes, counts of sessions, paths.

Owns what people may write and what becomes of it; a value that cannot be used is a `WrongValueError`, which says what
would be. Knows no file and no path in one. Everything here may end up in HAProxy's configuration, so nothing that
could end a line or a word there gets through. Addresses and URLs are in `addresses`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, PlainValidator, SecretStr, WithJsonSchema

MAX_SOCKET_PATH = 96
"""Bytes: the kernel takes 107, and HAProxy binds the path with ".<pid>.tmp" behind it first."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be written for a value, in words; stands in the type's annotation."""

    words: str


class WrongValueError(ValueError):
    """A value that cannot be used: what would be allowed (else the setting's own words say it), and a remedy."""

    def __init__(self, allowed: str = "", hint: str = "") -> None:
        super().__init__(f"allowed: {allowed}")
        self.allowed = allowed
        self.hint = hint


# Numbers


def _not_boolean(value: object) -> object:
    """Python takes `true` for 1; nobody who writes it means that."""
    if isinstance(value, bool):
        raise WrongValueError
    return value


Integer = Annotated[int, BeforeValidator(_not_boolean)]
Seconds = Annotated[float, BeforeValidator(_not_boolean)]

SIZE_UNITS = {"": 1, "B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
"""As Patroni and PostgreSQL read them: powers of 1024."""

SIZE_FORMS = 'a size such as "16MB" (kB, MB, GB, TB) or a number of bytes'
MAX_SIZE = 2**63 - 1


def parse_size(written: object) -> int:
    """Bytes, from `16MB` or a number."""
    match = re.fullmatch(r"([0-9]{1,19})\s*([A-Za-z]*)", str(written).strip())
    if isinstance(written, bool) or not isinstance(written, str | int) or not match:
        raise WrongValueError(SIZE_FORMS)
    unit = SIZE_UNITS.get(match[2].upper())
    if unit is None or int(match[1]) * unit > MAX_SIZE:
        raise WrongValueError(SIZE_FORMS)
    return int(match[1]) * unit


def _written_size(written: object) -> str | int:
    parse_size(written)
    return written if isinstance(written, int) else str(written).strip()


Size = Annotated[
    str | int,
    PlainValidator(_written_size),
    Allowed(SIZE_FORMS),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["16MB", 1048576]}),
]

MAX_SESSIONS = 1_000_000
A_COUNT = f"a whole number from 1 to {MAX_SESSIONS}"


def _sessions_or(*words: str) -> Callable[[object], int | str]:
    """A number of sessions, or one of some words; a bare `off`, which YAML reads as false, is the word."""
    allowed = ", ".join([A_COUNT, *words])

    def check(written: object) -> int | str:
        value = "off" if written is False else written
        if isinstance(value, str) and value.strip() in words:
            return value.strip()
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value.strip()):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_SESSIONS:
            raise WrongValueError(allowed)
        return value

    return check


def _sessions_schema(*words: str) -> WithJsonSchema:
    number = {"type": "integer", "minimum": 1, "maximum": MAX_SESSIONS}
    return WithJsonSchema({"anyOf": [number, {"enum": list(words)}]})


SessionsOrAuto = Annotated[
    int | Literal["auto"], PlainValidator(_sessions_or("auto")), Allowed(f"{A_COUNT}, auto"), _sessions_schema("auto")
]
SessionsOrAutoOrOff = Annotated[
    int | Literal["auto", "off"],
    PlainValidator(_sessions_or("auto", "off")),
    Allowed(f"{A_COUNT}, auto, off"),
    _sessions_schema("auto", "off"),
]


# Text


def _text(written: object) -> object:
    """A whole number is the text that it was written as; YAML has made something else of 1.10 and of `on`."""
    if isinstance(written, bool | float):
        raise WrongValueError(hint="put it in quotes")
    return str(written) if isinstance(written, int) else written


def _printable(text: str) -> str:
    if not text or not text.isprintable() or text != text.strip():
        raise WrongValueError(ONE_LINE)
    return text


ONE_LINE = "printable text in one line, without blanks at its ends"

Line = Annotated[str, BeforeValidator(_text), AfterValidator(_printable), Allowed(ONE_LINE)]
"""Text that may stand in a comment or between quotes of HAProxy's configuration."""


def _secret(secret: SecretStr) -> SecretStr:
    if not 1 <= len(secret.get_secret_value()) <= MAX_SECRET or not secret.get_secret_value().isprintable():
        raise WrongValueError(A_SECRET)
    return secret


MAX_SECRET = 256
A_SECRET = f"1 to {MAX_SECRET} printable characters"

Secret = Annotated[SecretStr, BeforeValidator(_text), AfterValidator(_secret), Allowed(A_SECRET)]


def word(pattern: str, allowed: str) -> Any:
    """Text that may stand as a word of HAProxy's configuration."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise WrongValueError(allowed)
        return text

    return AfterValidator(check)


A_USER = "the name of a user or group on this host"
A_LOGIN = "at most 64 of letters, digits and _ . @ -"
AN_API_USER = "printable text without a colon"
A_TAG = "the tag's name in patroni.yml: letters, digits and _ . -"

UserName = Annotated[str, BeforeValidator(_text), word(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", A_USER), Allowed(A_USER)]
Login = Annotated[str, BeforeValidator(_text), word(r"[A-Za-z0-9_.@-]{1,64}", A_LOGIN), Allowed(A_LOGIN)]
ApiUser = Annotated[Line, word(r"[^:]{1,64}", AN_API_USER), Allowed(AN_API_USER)]
TagName = Annotated[str, word(r"[A-Za-z0-9_.-]{1,64}", A_TAG), Allowed(A_TAG)]


def _tag_value(written: object) -> bool | int | str:
    if isinstance(written, bool | int):
        return written
    if isinstance(written, str):
        return _printable(written)
    raise WrongValueError("what the tag is in patroni.yml: text, a whole number, true or false")


TagValue = Annotated[
    bool | int | str,
    PlainValidator(_tag_value),
    Allowed("text, a whole number, true or false"),
    WithJsonSchema({"type": ["string", "integer", "boolean"]}),
]


class Tags(dict[str, bool | int | str]):
    """Names with values that nobody changes, so that settings can be compared and be keys."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))


TagValues = Annotated[dict[TagName, TagValue], AfterValidator(Tags)]


# Paths


def _plain_path(path: Path) -> Path:
    # a comma would begin a second address of a socket
    if not re.fullmatch(r"[^\s\"'\\#$,]+", str(path)) or not str(path).isprintable():
        raise WrongValueError(A_PATH, "HAProxy would misread it")
    return path


def _socket_path(path: Path) -> Path:
    if len(str(path).encode()) > MAX_SOCKET_PATH:
        raise WrongValueError(f"a path of at most {MAX_SOCKET_PATH} bytes", "no kernel takes a longer one")
    return path


A_PATH = "a path without blanks, quotes, backslashes, commas, # and $"

PlainPath = Annotated[Path, AfterValidator(_plain_path), Allowed(A_PATH)]
SocketPath = Annotated[Path, AfterValidator(_plain_path), AfterValidator(_socket_path), Allowed(A_PATH)]
