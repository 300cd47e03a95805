"""Settings from environment variables: `TRUNKLINE_STATS__USER` is `stats.user`, lists are comma separated.

Owns which variables are ours and how their text becomes values. An empty variable is one that is not set. What other
programs put under our prefix (Kubernetes' links to services, the lab's own choice of binaries) is left alone.
"""

import difflib
import re
from collections.abc import Mapping

from trunkline.config.describe import CLUSTERS, all_settings, field_at, is_list, is_mapping, section_of
from trunkline.config.faults import Fault, Key, Origin
from trunkline.config.settings import ClusterSettings
from trunkline.config.tree import Assignment

PREFIX = "TRUNKLINE_"
LEVEL = "__"
CONFIG, PATRONI_CONFIG = "TRUNKLINE_CONFIG", "TRUNKLINE_PATRONI_CONFIG"

SHORT_NAMES: Mapping[str, Key] = {"TRUNKLINE_HAPROXY": ("haproxy", "binary")}
"""The lab's name for the program is everybody's."""

NOT_SETTINGS = {CONFIG, PATRONI_CONFIG, "TRUNKLINE_POSTGRES_BIN", "TRUNKLINE_ETCD"}
KUBERNETES = re.compile(r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_\w+)?)?)")
NOTHING = {"null", "none"}


def read_environment(environ: Mapping[str, str]) -> tuple[list[Assignment], list[Fault]]:
    """What the variables set, in the order of their names; unknown ones are faults."""
    assignments: list[Assignment] = []
    faults: list[Fault] = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in NOT_SETTINGS or not environ[name]:
            continue
        key = SHORT_NAMES.get(name) or _key(name)
        origin = Origin(kind="environment", name=name)
        field = field_at(_in_tree(key))
        if field is None and not KUBERNETES.fullmatch(name):
            faults.append(Fault(origin=origin, found="an unknown setting", hint=_hint(name)))
        if field is None:
            continue
        try:
            assignments.append(Assignment(key=key, value=_value(_in_tree(key), environ[name]), origin=origin))
        except ValueError as error:
            faults.append(Fault(key=key, origin=origin, found="a value", allowed=str(error)))
    return assignments, faults


def variable(key: Key) -> str:
    """The variable of a setting of a single cluster."""
    return PREFIX + LEVEL.join(str(part).upper() for part in key)


def _key(name: str) -> Key:
    parts = name.removeprefix(PREFIX).lower().split(LEVEL)
    is_indexed = parts[0] == CLUSTERS and len(parts) > 1 and re.fullmatch(r"[0-9]{1,3}", parts[1])
    return (CLUSTERS, int(parts[1]), *parts[2:]) if is_indexed else tuple(parts)


def _in_tree(key: Key) -> Key:
    return (CLUSTERS, 0, *key) if key[0] in ClusterSettings.model_fields else key


def _value(key: Key, text: str) -> object:
    field = field_at(key)
    if field is None or (is_mapping(field) and not _is_whole(key)):
        return _scalar(text)
    if text.strip().lower() in NOTHING:
        return None
    if is_mapping(field):
        return _mapping(text)
    if section_of(field.annotation) is not None:
        if text.strip() == "{}":
            return {}
        raise ValueError(f"null or {{}}; its settings have variables of their own: {variable(key)}{LEVEL}...")
    return [item.strip() for item in text.split(",") if item.strip()] if is_list(field) else text


def _is_whole(key: Key) -> bool:
    """Whether a mapping itself is meant, and not one name in it."""
    parent = field_at(key[:-1])
    return parent is None or not is_mapping(parent)


def _mapping(text: str) -> dict[str, object]:
    pairs = [item.partition("=") for item in text.split(",") if item.strip()]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError("name=value, several separated by commas")
    return {name.strip(): _scalar(value.strip()) for name, _, value in pairs}


def _scalar(text: str) -> object:
    return {"true": True, "false": False}.get(text.lower(), text)


def _hint(name: str) -> str:
    known = [variable(setting.key) for setting in all_settings() if setting.section is None]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return f"did you mean {close[0]}?" if close else f"{PREFIX}STATS__USER is stats.user, and so on"
