"""The settings of all sources laid over each other, before they are judged; and where each value comes from.

Owns the order of strength and the one shape behind the two ways to write a file: a list of clusters. Values are
still as written; `load` judges them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from trunkline.config.describe import CLUSTERS
from trunkline.config.document import Document
from trunkline.config.faults import DEFAULT, Fault, Key, Origin
from trunkline.config.settings import ClusterSettings

FIRST: Key = (CLUSTERS, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One value from a source other than the file. `key`: a single cluster's settings may stand at its top."""

    key: Key
    value: object
    origin: Origin


@dataclass(slots=True)
class Tree:
    """Values by key, always with `clusters` as a list, and the origin of everything that some source has set."""

    values: dict[str, object]
    origins: dict[Key, Origin] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    @classmethod
    def of_document(cls, document: Document | None) -> "Tree":
        """A file's settings; those of its one cluster may stand at the top."""
        if document is None:
            return cls(values={CLUSTERS: [{}]})
        tree = cls(values={}, faults=list(document.faults))
        flat = {name: value for name, value in document.values.items() if name in ClusterSettings.model_fields}
        tree.values = {name: value for name, value in document.values.items() if name not in flat}
        if CLUSTERS in tree.values:
            tree.faults += [_beside_the_list(name, document.origins[(name,)]) for name in flat]
            tree.origins = {key: origin for key, origin in document.origins.items() if key[0] not in flat}
        else:
            tree.values[CLUSTERS] = [flat]
            tree.origins = {(*FIRST, *key) if key[0] in flat else key: it for key, it in document.origins.items()}
        return tree

    @property
    def clusters(self) -> list[object]:
        """The list of clusters; empty where something else stands in its place."""
        clusters = self.values.get(CLUSTERS)
        return clusters if isinstance(clusters, list) else []

    def get(self, key: Key) -> object:
        """The value at a key; None where there is none."""
        value: object = self.values
        for part in key:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value

    def origin(self, key: Key) -> Origin:
        """Where the value at a key comes from, or the group that it is missing from."""
        for length in range(len(key), 0, -1):
            if (found := self.origins.get(key[:length])) is not None:
                return found
        return DEFAULT

    def written_key(self, key: Key) -> Key:
        """The key as the user wrote it, or would."""
        for length in range(len(key), 0, -1):
            if (found := self.origins.get(key[:length])) is not None:
                rest = key[length:]
                return (*(found.key or _at_top(key[:length])), *(part for part in rest if isinstance(part, str)))
        return _at_top(key) if len(self.clusters) <= 1 else key

    def lay_over(self, assignments: Iterable[Assignment]) -> None:
        """Set values from a stronger source."""
        for assignment in assignments:
            self._assign(assignment, is_stronger=True)

    def lay_under(self, assignments: Iterable[Assignment]) -> None:
        """Set values from a weaker source, where nothing is set."""
        for assignment in assignments:
            self._assign(assignment, is_stronger=False)

    def _assign(self, assignment: Assignment, *, is_stronger: bool) -> None:
        key = assignment.key
        if key[0] in ClusterSettings.model_fields:
            if len(self.clusters) > 1:
                hint = f"there are {len(self.clusters)} clusters; set it in the list"
                found = "a setting of one cluster"
                self.faults.append(Fault(key=key, origin=assignment.origin, found=found, hint=hint))
                return
            key = (*FIRST, *key)
        if not is_stronger and self.get(key) is not None:
            return
        if self._put(key, assignment.value):
            self.origins = {at: origin for at, origin in self.origins.items() if at[: len(key)] != key}
            self.origins[key] = assignment.origin
        elif is_stronger:
            hint = "lists are set as a whole, and clusters are numbered from 0"
            self.faults.append(Fault(key=key, origin=assignment.origin, found="no place for it", hint=hint))

    def _put(self, key: Key, value: object) -> bool:
        """Whether there was a place for it: a wrong value on the way stays, to be shown as the fault that it is."""
        *way, last = key
        group: object = self.values
        for part in way:
            group = _step(group, part)
        if isinstance(group, dict) and isinstance(last, str):
            group[last] = value
            return True
        return False


def _step(group: object, part: str | int) -> object:
    if isinstance(group, dict) and isinstance(part, str):
        if group.get(part) is None:
            group[part] = [] if part == CLUSTERS else {}
        return group[part]
    if isinstance(group, list) and isinstance(part, int) and part <= len(group):
        if part == len(group):
            group.append({})
        return group[part]
    return None


def _at_top(key: Key) -> Key:
    return key[len(FIRST) :] if key[: len(FIRST)] == FIRST else key


def _beside_the_list(name: str, origin: Origin) -> Fault:
    hint = f"move it into the entry of its cluster: clusters[0].{name}"
    return Fault(key=(name,), origin=origin, found="a cluster's setting beside the list of clusters", hint=hint)


def as_plain(value: object) -> object:
    """A copy that may be changed."""
    if isinstance(value, Mapping):
        return {name: as_plain(item) for name, item in value.items()}
    return [as_plain(item) for item in value] if isinstance(value, list) else value
