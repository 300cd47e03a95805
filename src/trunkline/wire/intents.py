"""What people have asked for as JSON, and back. The field names are those of `trunkline.model.intent`.

Unlike a receipt, a drain that cannot be understood is not left out: half of what was asked for is something else than
what was asked for. Keys that this version does not know are passed over.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from trunkline.errors import IntentsError
from trunkline.model.intent import Drain

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The whole file."""

    version: int
    drains: tuple[Drain, ...]


KEPT = TypeAdapter(Kept)


def write_intents(drains: Iterable[Drain]) -> str:
    """The whole text; the same for the same drains, in whatever order."""
    ordered = tuple(sorted(drains, key=lambda it: (it.scope, it.member)))
    return KEPT.dump_json(Kept(version=VERSION, drains=ordered), indent=1).decode() + "\n"


def read_intents(text: str) -> tuple[Drain, ...]:
    """Every drain, also those that are over. Raises IntentsError for any other text, also one that is cut short."""
    try:
        kept = KEPT.validate_json(text.encode(errors="surrogateescape"))
    except (ValidationError, UnicodeError):
        raise IntentsError("it is damaged") from None
    if kept.version != VERSION:
        raise IntentsError(f"it was written by another Trunkline (version {kept.version} of the file)")
    if any(moment.utcoffset() is None for it in kept.drains for moment in (it.since, it.until) if moment is not None):
        raise IntentsError("it is damaged: a time without its zone")
    return kept.drains
