"""From all sources to one tree of settings, or to every fault at once.

Owns the order: flags, then environment, then the file, then what the Patroni on this host says of itself, then
defaults. The only place that decides which files are read; reading is in `document`. Nothing is changed anywhere.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from trunkline.config.describe import CLUSTERS, field_at, is_path
from trunkline.config.discovery import Places, find_patroni_config, read_patroni_config
from trunkline.config.document import Document, leaves, read_document
from trunkline.config.environment import CONFIG, PATRONI_CONFIG, read_environment
from trunkline.config.faults import DEFAULT, Fault, Faulty, Key, Origin, settings_error, shown
from trunkline.config.judge import judge
from trunkline.config.settings import Settings
from trunkline.config.store_library import MissingLibrary, missing_library
from trunkline.config.tree import FIRST, Assignment, Tree, as_plain
from trunkline.errors import SettingsError

FLAGS = {"directory": "--dir", "haproxy.binary": "--haproxy"}
"""Flags that are not called like their setting."""

PAIRS: tuple[tuple[Key, Key], ...] = (
    (("api", "cert_file"), ("api", "key_file")),
    (("api", "username"), ("api", "password")),
)
PLACES = Places()

THREE_WAYS = (
    "no cluster is known. Name one in one of three ways:\n"
    "  - a settings file, {settings} or --config FILE, with the line  patroni: [http://10.0.0.11:8008]\n"
    "  - the flag --patroni http://10.0.0.11:8008, or TRUNKLINE_PATRONI in the environment\n"
    "  - on a host with a Patroni of its own: {patroni}, or --patroni-config FILE"
)


_UnreadableStore = tuple[Key, Origin, MissingLibrary]
"""The setting that names it, where that comes from, and what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSettings:
    """Settings, and where each value comes from that is no default (by its key in the tree).

    `file`, `patroni_config`: the files that were read. `warnings`: what works, but should not stay so.
    """

    settings: Settings
    origins: Mapping[Key, Origin]
    file: Path | None = None
    patroni_config: Path | None = None
    warnings: tuple[str, ...] = ()

    def origin(self, key: Key) -> Origin:
        """Where the value at a key of the tree comes from."""
        return self.origins.get(key, DEFAULT)


def load_settings(
    config: Path | None,
    *,
    environ: Mapping[str, str],
    overrides: Mapping[str, object] | None = None,
    patroni_config: Path | None = None,
    places: Places = PLACES,
) -> LoadedSettings:
    """Settings from all sources. `overrides`: flags by setting ("patroni", "haproxy.binary"); None is not given.

    Raises SettingsError with every fault of every source.
    """
    file = config or _named(environ, CONFIG) or _if_there(places.settings)
    named_patroni = patroni_config or _named(environ, PATRONI_CONFIG)
    tree = Tree.of_document(_document(file, is_from_environment=config is None and CONFIG in environ))
    assignments, faults = read_environment(environ)
    tree.faults += faults
    tree.lay_over(assignments)
    tree.lay_over(_flags(overrides or {}))
    patroni = _discover(tree, named_patroni, places)
    _anchor_paths(tree)
    settings, faults = judge(tree)
    unreadable = () if faults else tuple(_unreadable_stores(settings, tree.origins))
    faults += tuple(_missing_libraries(unreadable))
    if tree.faults or faults:
        raise settings_error([_as_written(fault, tree) for fault in (*tree.faults, *faults)])
    if not any(cluster.patroni for cluster in settings.clusters):
        raise _no_cluster(places)
    return LoadedSettings(
        settings=settings,
        origins=tree.origins,
        file=file,
        patroni_config=patroni,
        warnings=(*_warnings(file, tree.origins), *_store_warnings(unreadable)),
    )


def _named(environ: Mapping[str, str], variable: str) -> Path | None:
    return Path(environ[variable]) if environ.get(variable) else None


def _if_there(path: Path) -> Path | None:
    """A file that is there but may not be read is not passed over in silence."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        pass
    return path


def _document(file: Path | None, *, is_from_environment: bool) -> Document | None:
    try:
        return read_document(file) if file is not None else None
    except Faulty as error:
        hint = f"{CONFIG} names it" if is_from_environment else ""
        raise settings_error([replace(fault, hint=fault.hint or hint) for fault in error.faults]) from None


def _flags(overrides: Mapping[str, object]) -> Iterable[Assignment]:
    for name, value in overrides.items():
        if value is not None:
            flag = FLAGS.get(name, f"--{name.replace('.', '-').replace('_', '-')}")
            written = as_plain(list(value) if isinstance(value, tuple) else value)
            yield Assignment(key=tuple(name.split(".")), value=written, origin=Origin(kind="flag", name=flag))


def _discover(tree: Tree, named: Path | None, places: Places) -> Path | None:
    """Ask the Patroni of this host where it is named, or where nothing else names a cluster."""
    if len(tree.clusters) > 1:
        if named is not None:
            hint = "with several clusters each needs `patroni:` of its own"
            tree.faults.append(Fault(origin=Origin.of_file(named), found="a file of one cluster", hint=hint))
        return None
    listed = tree.get((*FIRST, "patroni"))
    path = named or (find_patroni_config(places) if listed is None and not tree.faults else None)
    if path is None:
        return None
    try:
        found = read_patroni_config(path)
    except Faulty as error:
        tree.faults += error.faults
        return path
    tree.faults += _other_scope(tree, found) if listed is None else []
    tree.lay_under([it for it in found if not _has_partner(tree, it.key)])
    return path


def _has_partner(tree: Tree, key: Key) -> bool:
    """Whether the settings name what belongs to this value: a key goes with its certificate, a user with a password."""
    return any(key in pair and tree.get((*FIRST, *other)) is not None for pair in PAIRS for other in pair)


def _other_scope(tree: Tree, found: list[Assignment]) -> list[Fault]:
    key = (*FIRST, "scope")
    wanted, told = tree.get(key), next(it for it in found if it.key == ("scope",))
    if wanted is None or str(wanted) == told.value:
        return []
    own = f"the Patroni of this host belongs to {shown(told.value)} ({told.origin})"
    return [
        Fault(
            key=key,
            origin=tree.origin(key),
            found=f"found {shown(wanted)}",
            hint=f"{own}; name the other cluster with `patroni:`",
        )
    ]


def _anchor_paths(tree: Tree) -> None:
    """A relative path in a file is relative to that file."""
    for key, value in list(_leaves(tree)):
        origin, field = tree.origin(key), field_at(key)
        if field is None or not is_path(field) or not isinstance(value, str) or origin.kind not in ("file", "patroni"):
            continue
        group = tree.get(key[:-1])
        if isinstance(group, dict) and value and "\0" not in value:
            group[key[-1]] = str(Path(origin.name).parent.absolute() / value)


def _leaves(tree: Tree) -> Iterable[tuple[Key, object]]:
    yield from leaves({name: value for name, value in tree.values.items() if name != CLUSTERS})
    for index, cluster in enumerate(tree.clusters):
        yield from leaves(cluster, (CLUSTERS, index)) if isinstance(cluster, dict) else ()


def _as_written(fault: Fault, tree: Tree) -> Fault:
    return replace(fault, origin=replace(fault.origin, key=tree.written_key(fault.key)))


def _no_cluster(places: Places) -> SettingsError:
    patroni = " or ".join(str(path) for path in places.patroni)
    directory = places.patroni_directory
    hint = "`trunkline demo` shows it all without a cluster"
    if os.access(directory, os.R_OK | os.X_OK):
        hint = f"there is a {directory}, but not one file in it that is clearly meant: name it with --patroni-config"
    elif os.access(directory, os.F_OK):
        hint = f"there is a {directory}, but this user may not look into it"
    return SettingsError(THREE_WAYS.format(settings=places.settings, patroni=patroni), hint=hint)


def _unreadable_stores(settings: Settings, origins: Mapping[Key, Origin]) -> Iterable[_UnreadableStore]:
    for index, cluster in enumerate(settings.clusters):
        config, key = cluster.dcs.patroni_config, (CLUSTERS, index, "dcs", "patroni_config")
        if config is not None and cluster.dcs.etcd is None and (missing := missing_library(config)):
            yield key, origins.get(key, DEFAULT), missing


def _missing_libraries(stores: Iterable[_UnreadableStore]) -> Iterable[Fault]:
    """Who names a store means it; one that was found on this host is gone without (`_store_warnings`)."""
    for key, origin, missing in stores:
        if origin.kind != "patroni":
            yield Fault(key=key, origin=origin, found=missing.message, hint=missing.hint)


def _store_warnings(stores: Iterable[_UnreadableStore]) -> Iterable[str]:
    for _, origin, missing in stores:
        if origin.kind == "patroni":
            yield f"the store of {origin} is not watched, other members are asked: {missing.message} ({missing.hint})"


def _warnings(file: Path | None, origins: Mapping[Key, Origin]) -> Iterable[str]:
    has_secret = any(key[-1] == "password" and origin.kind == "file" for key, origin in origins.items())
    try:
        is_open = file is not None and has_secret and bool(file.stat().st_mode & stat.S_IROTH)
    except OSError:
        return
    if is_open:
        yield f"{file} holds a password and everybody on this host may read it (chmod o-r {file})"
