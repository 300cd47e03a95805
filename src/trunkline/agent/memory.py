"""The last known members, kept on disk: a restart while the one listed API is down keeps the members.

Owns the text and which cluster of the settings a memory belongs to; a memory that cannot be read is none. Roles are
kept only as far as they say that this is a standby cluster: who leads is never remembered, it is asked.
"""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from trunkline.adapters.files import read_text, write_private
from trunkline.agent.directory import lasting
from trunkline.agent.discovery import Known, key
from trunkline.config.settings import ClusterSettings
from trunkline.errors import TrunklineError
from trunkline.model.cluster import ClusterView, DynamicConfig, Member, Role

FILE = "members.json"
VERSION = 1


def as_text(clusters: Iterable[tuple[ClusterSettings, Known]]) -> str:
    """What is worth remembering; the same for the same members."""
    remembered = [_as_json(chosen, known) for chosen, known in clusters]
    return json.dumps({"version": VERSION, "clusters": remembered}, indent=1, sort_keys=True) + "\n"


def recalled(text: str, chosen: ClusterSettings) -> Known | None:
    """What is remembered of this cluster: by its scope, and where settings name none, by a URL in common."""
    try:
        raw = json.loads(text)
        if raw["version"] != VERSION:
            return None
        for cluster in raw["clusters"]:
            known = _known(cluster)
            urls = {key(url) for url in cluster["listed"]} | set(known.urls)
            is_it = chosen.scope == known.view.scope if chosen.scope else bool(urls & set(map(key, chosen.patroni)))
            if is_it and known.view.members:
                return known
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return None


def load(directory: Path) -> str:
    """The text of the memory of a run in this directory, or of one before the host's last boot; empty where there is
    none or it may not be read."""
    for place in (directory, lasting(directory)):
        with suppress(TrunklineError):
            if text := read_text(place / FILE):
                return text
    return ""


def store(directory: Path, text: str) -> None:
    """Replace the memory of a run in this directory as a whole. Where only what outlasts a boot cannot be written, it
    does without."""
    write_private(directory / FILE, text)
    place = lasting(directory)
    if place != directory:
        with suppress(TrunklineError, OSError):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(place / FILE, text)


def keep(directory: Path, text: str) -> str:
    """Store it, if it is new; what is in the way, "" for nothing."""
    try:
        if text != load(directory):
            store(directory, text)
    except TrunklineError as error:
        return error.message
    return ""


def _as_json(chosen: ClusterSettings, known: Known) -> Mapping[str, object]:
    view = known.view
    members = [{"name": m.name, "host": m.host, "port": m.port, "api_url": m.api_url} for m in view.members]
    return {
        "scope": view.scope,
        "listed": list(chosen.patroni),
        "members": members,
        "config": asdict(replace(view.config, is_standby_cluster=view.is_standby_cluster)),
        "addresses": dict(known.addresses),
    }


def _known(cluster: Mapping[str, object]) -> Known:
    members, config, addresses = cluster["members"], cluster["config"], cluster["addresses"]
    if not isinstance(members, list) or not isinstance(config, dict) or not isinstance(addresses, dict):
        raise TypeError
    return Known(
        view=ClusterView(
            scope=str(cluster["scope"]),
            members=tuple(_member(member) for member in members),
            config=DynamicConfig(**config),
        ),
        addresses={str(name): str(address) for name, address in addresses.items()},
    )


def _member(raw: Mapping[str, object]) -> Member:
    port = raw["port"]
    if not isinstance(port, int):
        raise TypeError
    return Member(
        name=str(raw["name"]), host=str(raw["host"]), port=port, api_url=str(raw["api_url"]), role=Role.UNKNOWN
    )
