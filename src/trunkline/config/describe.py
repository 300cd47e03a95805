"""What can be said of each setting from the tree alone: what is allowed, its default, its unit, its neighbours.

Owns the words in which types and bounds are told; faults and the manual both use them, so that they agree.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from trunkline.config.faults import Key, written_path
from trunkline.config.settings import UNIT, ClusterSettings, Section, Settings
from trunkline.config.values import Allowed

CLUSTERS = "clusters"
INDEX = 0
"""Stands for any place in the list of clusters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One field of the tree, at its place in the settings of a single cluster."""

    key: Key
    field: FieldInfo

    @property
    def section(self) -> type[Section] | None:
        """The group that it is, if it is one."""
        return section_of(self.field.annotation)

    @property
    def allowed(self) -> str:
        """What may be written, in words."""
        return allowed(self.field)

    @property
    def unit(self) -> str:
        """The unit of a number, or nothing."""
        extra = self.field.json_schema_extra
        return str(extra.get(UNIT, "")) if isinstance(extra, Mapping) else ""

    @property
    def is_nullable(self) -> bool:
        """Whether `null` may be written."""
        return NoneType in _alternatives(self.field.annotation)


def all_settings(section: type[Section] = Settings, at: Key = ()) -> Iterator[Setting]:
    """Every field of the tree in its order, groups before their fields; one cluster's stand at the top."""
    for name, field in section.model_fields.items():
        if name == CLUSTERS and not at:
            yield from all_settings(ClusterSettings, ())
            continue
        setting = Setting(key=(*at, name), field=field)
        yield setting
        if setting.section is not None:
            yield from all_settings(setting.section, setting.key)


def field_at(key: Key) -> FieldInfo | None:
    """The field that holds the value at this key of the tree; None where the tree has none."""
    section: type[Section] | None = Settings
    field: FieldInfo | None = None
    for part in key:
        if isinstance(part, int):
            continue
        if section is None:
            return field if field is not None and is_mapping(field) and part == key[-1] else None
        field = section.model_fields.get(part)
        if field is None:
            return None
        section = section_of(field.annotation)
    return field


def section_of(annotation: object) -> type[Section] | None:
    """The group that a field holds: alone, or-nothing, or several of."""
    for alternative in _alternatives(annotation):
        if isinstance(alternative, type) and issubclass(alternative, Section):
            return alternative
        if get_origin(alternative) is tuple:
            return section_of(get_args(alternative)[0])
    return None


def allowed(field: FieldInfo) -> str:
    """What may be written for it, in words."""
    words = _words(field.annotation, field.metadata)
    return f"{words}, or null" if NoneType in _alternatives(field.annotation) else words


def is_path(field: FieldInfo) -> bool:
    """Whether it names a file or directory."""
    return any(_bare(alternative)[0] is Path for alternative in _alternatives(field.annotation))


def is_list(field: FieldInfo) -> bool:
    """Whether it takes several values."""
    return get_origin(_bare(field.annotation)[0]) is tuple


def is_mapping(field: FieldInfo) -> bool:
    """Whether it takes names of the user's own choice."""
    return get_origin(_bare(field.annotation)[0]) is dict


def did_you_mean(key: Key) -> str:
    """Which setting a name that nobody knows was likely meant to be, as a hint; or which names there are."""
    name, group = str(key[-1]), tuple(part for part in key[:-1] if part not in (CLUSTERS, INDEX))
    group = tuple(part for part in group if isinstance(part, str))
    here = [setting for setting in all_settings() if setting.key[:-1] == group]
    names = [str(setting.key[-1]) for setting in here]
    if not group:
        names.append(CLUSTERS)
    if close := difflib.get_close_matches(name, names, n=1, cutoff=0.7):
        return f"did you mean {close[0]}?"
    elsewhere = {str(setting.key[-1]): setting.key for setting in reversed(list(all_settings()))}
    if name in elsewhere:
        return f"did you mean {written_path(elsewhere[name])}?"
    if longer := [known for known in names if name in known.split("_")]:
        return f"did you mean {longer[0]}?"
    if close := difflib.get_close_matches(name, elsewhere, n=1, cutoff=0.8):
        return f"did you mean {written_path(elsewhere[close[0]])}?"
    return f"known here: {', '.join(names)}"


def _alternatives(annotation: object) -> tuple[Any, ...]:
    bare, _ = _bare(annotation)
    return get_args(bare) if get_origin(bare) in (Union, UnionType) else (bare,)


def _bare(annotation: object) -> tuple[object, list[object]]:
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return inner, metadata
    return annotation, []


def _words(annotation: object, metadata: list[Any]) -> str:
    bare, inner = _bare(annotation)
    metadata = [*inner, *metadata]
    if said := [mark.words for mark in metadata if isinstance(mark, Allowed)]:
        return said[-1]
    if get_origin(bare) in (Union, UnionType):
        return " or ".join(_words(part, metadata) for part in get_args(bare) if part is not NoneType)
    return _words_of_plain(bare, metadata)


def _words_of_plain(bare: Any, metadata: list[Any]) -> str:
    if get_origin(bare) is tuple:
        return f"one or a list of: {_words(get_args(bare)[0], [])}"
    if get_origin(bare) is dict:
        return "names with values"
    if get_origin(bare) is Literal:
        return " or ".join(_literal(value) for value in get_args(bare))
    if isinstance(bare, type) and issubclass(bare, Section):
        return "a group of settings"
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", SecretStr: "text"}
    return names.get(bare, "a value") + _bounds(metadata)


def _literal(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bounds(metadata: list[Any]) -> str:
    low = next((mark.ge for mark in metadata if hasattr(mark, "ge")), None)
    above = next((mark.gt for mark in metadata if hasattr(mark, "gt")), None)
    high = next((mark.le for mark in metadata if hasattr(mark, "le")), None)
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if above is not None and high is not None:
        return f" above {above}, at most {high}"
    return ""
