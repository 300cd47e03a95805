"""What is wrong with settings: where it stands, what was found, what is allowed, and a hint.

Owns how a fault reads, and that no secret is ever part of it. Apart from `load` because every source of settings
finds faults of its own.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trunkline.errors import SettingsError

Key = tuple[str | int, ...]
"""The way to a value: ("clusters", 0, "patroni")."""

MAX_SHOWN = 60
SECRET_NAMES = {"password"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a value comes from. `name`: of the file, variable or flag; `key`: the way to the value there."""

    kind: Literal["default", "file", "patroni", "environment", "flag"]
    name: str = ""
    line: int | None = None
    column: int | None = None
    key: Key = ()

    @classmethod
    def of_file(cls, path: Path, line: int | None = None, column: int | None = None, key: Key = ()) -> "Origin":
        """A place in a settings file."""
        return cls(kind="file", name=str(path), line=line, column=column, key=key)

    def __str__(self) -> str:
        if self.kind == "default":
            return "default"
        place = f":{self.line}" if self.line else ""
        return f"{shown_name(self.name)}{place}"


DEFAULT = Origin(kind="default")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong. `key`: in the tree of settings; how the user wrote it is `origin.key`."""

    origin: Origin
    found: str
    key: Key = ()
    allowed: str = ""
    hint: str = ""

    def __str__(self) -> str:
        column = f":{self.origin.column}" if self.origin.line and self.origin.column else ""
        place = "" if self.origin.kind == "default" else f"{self.origin}{column}: "
        path = written_path(self.origin.key or self.key)
        return (
            f"{place}{path}{': ' if path else ''}{self.found}"
            + (f"; allowed: {self.allowed}" if self.allowed else "")
            + (f" ({self.hint})" if self.hint else "")
        )


class Faulty(Exception):  # noqa: N818 (never leaves this room: `load` makes a SettingsError of it)
    """Faults that end the reading of one source."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(*faults)
        self.faults = faults


def settings_error(faults: Iterable[Fault]) -> SettingsError:
    """All faults at once, in the order of the file."""
    ordered = sorted(set(faults), key=_place)
    count = "a fault" if len(ordered) == 1 else f"{len(ordered)} faults"
    lines = "".join(f"\n  {fault}" for fault in ordered)
    return SettingsError(f"the settings have {count}{lines}", hint="every setting: trunkline config manual")


def _place(fault: Fault) -> tuple[str, int, int, str]:
    return fault.origin.name, fault.origin.line or 0, fault.origin.column or 0, str(fault)


def written_path(key: Key) -> str:
    """`services.primary.bind[0]`."""
    path = ""
    for part in key:
        path += f"[{part}]" if isinstance(part, int) else f"{'.' if path else ''}{shown_name(part)}"
    return path


def shown_name(text: str) -> str:
    """A name for people: as it is, or escaped where a terminal would not show it."""
    return text[:200] if text.isprintable() and text else shown_text(text)


def shown_text(text: str) -> str:
    """Text in quotes, in printable ASCII or better, cut where it is long."""
    cut = text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."
    return json.dumps(cut, ensure_ascii=not cut.isprintable())


def shown(value: object, key: Key = ()) -> str:
    """A value for people; a secret is not shown."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a group of settings"
    if isinstance(value, list | tuple):
        return "a list"
    if SECRET_NAMES.intersection(key):
        return "a value that is not shown"
    if isinstance(value, str):
        return shown_text(_without_credentials(value))
    if isinstance(value, Path):
        return shown_text(str(value))
    return json.dumps(value) if isinstance(value, bool | int | float) else type(value).__name__


def _without_credentials(text: str) -> str:
    """A URL may carry a password in front of its host."""
    head, at, host = text.rpartition("@")
    return f"***@{host}" if at and head else text
