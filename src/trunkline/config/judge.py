"""What is wrong with the values of a tree: each alone, and together.

Owns the translation of pydantic's findings into faults, and that one wrong value hides no other: what is wrong in
itself is left out, and the rest is judged as if it were not there.
"""

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from trunkline.config.describe import allowed, did_you_mean, field_at
from trunkline.config.faults import Fault, Key, shown
from trunkline.config.rules import Broken, broken_files, broken_rules
from trunkline.config.settings import Settings
from trunkline.config.tree import Tree, as_plain
from trunkline.config.values import WrongValueError

CONSEQUENCES = {"too_short"}
"""What pydantic finds because it left out a wrong value itself."""


def judge(tree: Tree) -> tuple[Settings, list[Fault]]:
    """The settings without what is wrong in itself, and every fault. Without faults they are the settings."""
    values = as_plain(tree.values)
    faults: list[Fault] = []
    gone: list[Key] = []
    while True:
        try:
            settings = Settings.model_validate(values)
            break
        except ValidationError as error:
            details = error.errors(include_url=False)
            causes = [detail for detail in details if detail["type"] not in CONSEQUENCES] or details
            found = [_fault(detail, tree) for detail in causes]
            faults += found
            before = len(gone)
            for fault in found:
                if not any(fault.key[: len(lost)] == lost for lost in gone):
                    gone += _leave_out(values, fault.key)
            if len(gone) == before:
                return Settings(), faults
    broken = [*broken_rules(settings), *broken_files(settings)]
    return settings, faults + [_fault_of_rule(it, tree) for it in broken if not _is_about(it, gone)]


def _fault(detail: ErrorDetails, tree: Tree) -> Fault:
    """A fault in our words from one of pydantic's."""
    key: Key = tuple(part for part in detail["loc"] if part != "[key]")
    origin = tree.origin(key)
    if detail["type"] == "extra_forbidden":
        return Fault(key=key, origin=origin, found="an unknown setting", hint=did_you_mean(key))
    error = detail.get("ctx", {}).get("error")
    field = field_at(key)
    words = allowed(field) if field is not None else "a group of settings"
    hint = ""
    if isinstance(error, WrongValueError):
        words, hint = error.allowed or words, error.hint
    if detail["input"] is None:
        hint = "without this line the default holds"
    return Fault(key=key, origin=origin, found=f"found {shown(detail['input'], key)}", allowed=words, hint=hint)


def _fault_of_rule(broken: Broken, tree: Tree) -> Fault:
    """The fault stands where the user wrote something, rather than at a default."""
    written = (key for key in broken.about if key in tree.origins)
    key = next(written, broken.about[0])
    return Fault(key=key, origin=tree.origin(key), found=broken.found, allowed=broken.allowed, hint=broken.hint)


def _leave_out(values: object, key: Key) -> list[Key]:
    """Remove the innermost named value on the way to a fault, and say which it was; nothing where there is none."""
    named = [length for length, part in enumerate(key, start=1) if isinstance(part, str)]
    for length in reversed(named):
        group = values
        for part in key[: length - 1]:
            group = group[part] if _has(group, part) else None  # type: ignore[index]
        if isinstance(group, dict) and key[length - 1] in group:
            del group[key[length - 1]]
            return [key[:length]]
    return []


def _has(group: object, part: str | int) -> bool:
    if isinstance(group, dict):
        return part in group
    return isinstance(group, list) and isinstance(part, int) and part < len(group)


def _is_about(broken: Broken, gone: list[Key]) -> bool:
    """Whether a rule speaks of a value that was left out: then it says nothing."""
    return any(key[: len(lost)] == lost or lost[: len(key)] == key for key in broken.about for lost in gone)
