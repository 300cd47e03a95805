"""etcd's v3 API as JSON: what is asked, and what the answers say. Keys and values are base64, numbers are text.

Source: etcd's API reference (`KV.Range`, `Watch`, `Lease.LeaseTimeToLive`, `Auth.Authenticate`) and its JSON gateway.
An answer that is none is a `StoreError`, never another exception.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass

from trunkline.errors import StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A key that is there: its `value`, and the id of the lease that it is bound to (0 for none)."""

    value: str
    lease: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The answer to one range: the entry, None where there is no such key, and the store's revision."""

    entry: Entry | None
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchNews:
    """One message of a watch. `changes`: what the key has become at which revision; None when it was deleted."""

    changes: tuple[tuple[int, Entry | None], ...] = ()
    canceled: str = ""


def key_question(key: str) -> str:
    """For a range of one key."""
    return json.dumps({"key": _encoded(key)})


def watch_question(key: str, revision: int) -> str:
    """For a watch of one key from a revision on."""
    wanted = {"key": _encoded(key), "start_revision": str(revision), "progress_notify": True}
    return json.dumps({"create_request": wanted})


def lease_question(lease: int) -> str:
    """For the time that a lease has left."""
    return json.dumps({"ID": str(lease)})


def login(username: str, password: str) -> str:
    """For a token."""
    return json.dumps({"name": username, "password": password})


def parse_reading(body: bytes) -> Reading:
    """The answer to `key_question`."""
    told = _mapping(body)
    found = told.get("kvs", [])
    if not isinstance(found, list):
        raise _unusable()
    return Reading(
        entry=_entry(found[0]) if found else None, revision=_number(_part(told, "header").get("revision", 0))
    )


def parse_lease_left(body: bytes) -> int:
    """The answer to `lease_question`: whole seconds, rounded down; 0 or less when it has ended."""
    return _number(_mapping(body).get("TTL", 0))


def parse_token(body: bytes) -> str:
    """The answer to `login`."""
    token = _mapping(body).get("token")
    if not isinstance(token, str) or not token.isprintable() or not token:
        raise _unusable()
    return token


def parse_news(line: bytes) -> WatchNews:
    """One line of a watch."""
    told = _mapping(line)
    if "error" in told:
        return WatchNews(canceled=_words(told["error"]))
    result = _part(told, "result")
    if result.get("canceled") is True:
        return WatchNews(canceled=_words(result.get("cancel_reason", "")))
    events = result.get("events", [])
    if not isinstance(events, list) or not all(isinstance(event, Mapping) for event in events):
        raise _unusable()
    return WatchNews(changes=tuple(_change(event) for event in events))


def parse_refusal(body: bytes) -> str:
    """Why a request was refused, in etcd's words; empty where it says nothing of the kind."""
    try:
        told = _mapping(body)
    except StoreError:
        return ""
    return _words(told.get("error", told.get("message", "")))


def _words(told: object) -> str:
    if isinstance(told, Mapping):
        told = told.get("message", "")
    return " ".join(told.split()) if isinstance(told, str) and told else "without a word"


def _change(event: Mapping[str, object]) -> tuple[int, Entry | None]:
    entry = _part(event, "kv")
    revision = _number(entry.get("mod_revision", 0))
    return revision, None if event.get("type") == "DELETE" else _entry(entry)


def _entry(told: object) -> Entry:
    if not isinstance(told, Mapping):
        raise _unusable()
    return Entry(value=_decoded(told.get("value", "")), lease=_number(told.get("lease", 0)))


def _part(told: Mapping[str, object], name: str) -> Mapping[str, object]:
    part = told.get(name, {})
    if not isinstance(part, Mapping):
        raise _unusable()
    return part


def _mapping(body: bytes) -> Mapping[str, object]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        raise _unusable() from None
    if not isinstance(told, Mapping):
        raise _unusable()
    return told


def _number(told: object) -> int:
    if isinstance(told, bool) or not isinstance(told, int | str):
        raise _unusable()
    try:
        return int(told)
    except ValueError:
        raise _unusable() from None


def _encoded(text: str) -> str:
    return b64encode(text.encode(errors="surrogateescape")).decode()


def _decoded(told: object) -> str:
    if not isinstance(told, str):
        raise _unusable()
    try:
        return b64decode(told, validate=True).decode(errors="surrogateescape")
    except ValueError:
        raise _unusable() from None


def _unusable() -> StoreError:
    return StoreError(
        "etcd gave no answer that can be understood", hint="is it etcd's v3 API (3.4 or newer) that answers there?"
    )
