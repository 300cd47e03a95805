"""A YAML file as plain values, with the line and column of each.

Owns what YAML we take: mappings with text keys, lists, text, numbers, booleans, null; anchors and merge keys within
bounds. Everything else that YAML can is refused here, with its place. Apart from `load` because a node's Patroni
configuration is read the same way. Numbers are read as YAML 1.2 does: 010 and 12:30 are text, not 8 and 750.
"""

import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from trunkline.config.faults import Fault, Faulty, Key, Origin, shown_text

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_NODES = 50_000

TAG = "tag:yaml.org,2002:"
TEXT_TAGS = {TAG + "str", TAG + "timestamp"}
NUMBER_TAGS = {TAG + "int", TAG + "float"}
MERGE = TAG + "merge"
BOOLEANS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,30})")
DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,30})?(\.[0-9]{0,30})?([eE][-+]?[0-9]{1,3})?")

QUOTING = 'text that begins with * & ! % @ ` [ { or holds ": " stands in quotes, as "*:5000"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file's values, where each stands, and the faults found on the way; what was at fault is left out."""

    path: Path
    values: Mapping[str, object]
    origins: Mapping[Key, Origin]
    faults: tuple[Fault, ...] = ()


def read_document(path: Path) -> Document:
    """Read a YAML file whose top is a mapping; an empty file is an empty mapping. Raises Faulty."""
    return parse_document(_read(path), path)


def parse_document(content: bytes, path: Path) -> Document:
    """The same for bytes; `path` is what the file is called in faults."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Faulty(Fault(origin=Origin.of_file(path, line, 1), found="bytes that are not UTF-8 text")) from None
    root = _compose(text, path)
    reader = _Reader(path)
    values = reader.value(root, (), 0) if root is not None else None
    if root is None or values is None:
        values = {}
    elif not isinstance(values, dict):
        found = "a list" if isinstance(values, list) else "a single value"
        raise Faulty(Fault(origin=_origin(path, root, ()), found=found, allowed='settings, such as "patroni: [...]"'))
    return Document(path=path, values=values, origins=reader.origins, faults=tuple(reader.faults))


def _read(path: Path) -> bytes:
    def refuse(found: str, hint: str = "") -> Faulty:
        return Faulty(Fault(origin=Origin.of_file(path), found=found, hint=hint))

    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise refuse("a directory", "name the file in it")
        if not stat.S_ISREG(mode):
            # A pipe could make us wait for ever, and a reload would find nothing in it.
            raise refuse("not a regular file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise refuse("no such file") from None
    except PermissionError:
        raise refuse("a file that this user may not read", "run as a user who may") from None
    except (OSError, ValueError) as error:
        raise refuse(f"a file that cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_BYTES:
        raise refuse("more than 1 MiB", "this is no settings file")
    return content


def _compose(text: str, path: Path) -> yaml.Node | None:
    try:
        _guard(text, path)
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Faulty(Fault(origin=Origin.of_file(path, line, 1), found="a character that is not text")) from None
    except yaml.MarkedYAMLError as error:
        raise Faulty(_syntax_fault(error, path)) from None


def _guard(text: str, path: Path) -> None:
    """Go through the events before anything recursive does."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH or count > MAX_NODES:
            origin = Origin.of_file(path, event.start_mark.line + 1) if event.start_mark else Origin.of_file(path)
            found = f"more than {MAX_DEPTH} levels" if depth > MAX_DEPTH else f"more than {MAX_NODES} values"
            raise Faulty(Fault(origin=origin, found=found, hint="this is no settings file"))


def _syntax_fault(error: yaml.MarkedYAMLError, path: Path) -> Fault:
    mark = error.problem_mark or error.context_mark
    # a tag's handle may be a secret that was not quoted, and so may the name of an anchor
    problem = re.sub(r"tag handle .*", "tag handle", error.problem or "this is not YAML", flags=re.DOTALL)
    if isinstance(error, yaml.composer.ComposerError):
        problem = "several documents" if "single document" in (error.context or "") else "an unusable anchor or alias"
    hint = QUOTING
    if "'\\t'" in problem:
        hint = "indent with spaces"
    elif "mapping values" in problem or "could not find expected ':'" in problem or "block end" in problem:
        hint = f"check the indentation here and above; {QUOTING}"
    line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
    return Fault(origin=Origin.of_file(path, line, column), found=f"broken YAML: {problem}", hint=hint)


def _origin(path: Path, node: yaml.Node, key: Key) -> Origin:
    return Origin.of_file(path, node.start_mark.line + 1, node.start_mark.column + 1, key)


@dataclass(slots=True)
class _Reader:
    """From nodes to values. A faulty part is noted and left out."""

    path: Path
    origins: dict[Key, Origin] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    nodes: int = 0

    def value(self, node: yaml.Node, key: Key, depth: int) -> object:
        self.nodes += 1
        # Aliases make a small file large; one that holds itself has no end.
        if self.nodes > MAX_NODES or depth > MAX_DEPTH:
            raise Faulty(
                Fault(
                    origin=_origin(self.path, node, key), found="aliases that unfold without end", hint="write it out"
                )
            )
        match node:
            case yaml.MappingNode():
                return self.mapping(node, key, depth)
            case yaml.SequenceNode():
                return self.sequence(node, key, depth)
            case _:
                return self.scalar(node, key)

    def mapping(self, node: yaml.MappingNode, key: Key, depth: int) -> dict[str, object]:
        values: dict[str, object] = {}
        if not self.is_plain(node, "map", key):
            return values
        lines: dict[str, int] = {}
        merged: list[yaml.Node] = []
        for name_node, value_node in node.value:
            if name_node.tag == MERGE:
                merged += value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                continue
            name = self.name(name_node, key)
            if name is None:
                continue
            here = (*key, name)
            if name in lines:
                hint = f"it stands in line {lines[name]} already"
                self.fault(name_node, here, found="the same setting a second time", hint=hint)
                continue
            lines[name] = name_node.start_mark.line + 1
            self.origins[here] = _origin(self.path, name_node, here)
            values[name] = self.value(value_node, here, depth + 1)
        for base in merged:
            self.merge(base, values, key, depth)
        return values

    def merge(self, base: yaml.Node, values: dict[str, object], key: Key, depth: int) -> None:
        """`<<: *base`: what stands here itself goes first (YAML's merge key)."""
        if not isinstance(base, yaml.MappingNode):
            self.fault(base, key, found="a merge of something that is no group", allowed="<<: *name of a group")
            return
        own, before = set(values), dict(self.origins)
        for name, value in self.mapping(base, key, depth + 1).items():
            values.setdefault(name, value)
        news = {at: origin for at, origin in self.origins.items() if len(at) > len(key) and at[len(key)] not in own}
        self.origins = news | before

    def sequence(self, node: yaml.SequenceNode, key: Key, depth: int) -> list[object]:
        if not self.is_plain(node, "seq", key):
            return []
        values = []
        for index, item in enumerate(node.value):
            here = (*key, index)
            self.origins[here] = _origin(self.path, item, here)
            values.append(self.value(item, here, depth + 1))
        return values

    def name(self, node: yaml.Node, key: Key) -> str | None:
        if isinstance(node, yaml.ScalarNode) and node.tag == TAG + "str":
            return str(node.value)
        found = shown_text(node.value) if isinstance(node, yaml.ScalarNode) else "a list or a group"
        self.fault(node, key, found=f"{found} as a setting's name", allowed="text")
        return None

    def scalar(self, node: yaml.Node, key: Key) -> object:
        text = str(node.value)
        if node.tag in TEXT_TAGS:
            return text
        if node.tag == TAG + "null":
            return None
        if node.tag == TAG + "bool" and text.lower() in BOOLEANS:
            return BOOLEANS[text.lower()]
        if node.tag in NUMBER_TAGS:
            return _number(text)
        self.fault(node, key, found="a YAML tag", allowed="plain values", hint=QUOTING)
        return None

    def is_plain(self, node: yaml.Node, kind: str, key: Key) -> bool:
        if node.tag == TAG + kind:
            return True
        self.fault(node, key, found="a YAML tag", allowed="plain values")
        return False

    def fault(self, node: yaml.Node, key: Key, *, found: str, allowed: str = "", hint: str = "") -> None:
        origin = _origin(self.path, node, key)
        self.faults.append(Fault(key=key, origin=origin, found=found, allowed=allowed, hint=hint))


def _number(text: str) -> int | float | str:
    if WHOLE.fullmatch(text):
        return int(text)
    if DECIMAL.fullmatch(text) and any(character.isdigit() for character in text):
        return float(text)
    return text


def leaves(values: Mapping[str, object], at: Key = ()) -> Iterator[tuple[Key, object]]:
    """Everything in nested mappings that is no mapping itself, and empty mappings, with its key."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*at, name))
        else:
            yield (*at, name), value
