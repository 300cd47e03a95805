"""Patroni's own library, opened so that it only reads, and made to speak our language when it fails.

It is opened as `patronictl` opens it: what is read of the cluster's keys is all that is asked for. ZooKeeper knows no
client without a session; that one owns nothing and ends with `close_dcs`. Whether the clients of the stores are
installed is judged with the settings (`trunkline.config.store_library`).
"""

import importlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import yaml

from trunkline.config.store_library import missing_library
from trunkline.errors import StoreError

READER = {"name": "trunkline", "ttl": 30, "loop_wait": 3, "retry_timeout": 5}
"""What a store's client wants to know, in seconds. Shorter than Patroni's own 10 and 10, after which it does without a
primary: here other members are asked meanwhile. ZooKeeper's client gives up a silent server after `loop_wait`."""

TALKATIVE = ("patroni", "kazoo", "urllib3")
"""They log each attempt while a store is down, with its traceback; the agent tells the beginning and the end."""

NAMES_A_FILE = "dcs.patroni_config names a patroni.yml"


class Dcs(Protocol):
    """What is used of `patroni.dcs.AbstractDCS`."""

    def get_cluster(self) -> Any:
        """The cluster as the store has it."""

    def watch(self, leader_version: Any, timeout: float) -> bool:
        """Back when something has changed, or after `timeout` seconds."""


Opening = Callable[[Path, str], Dcs]


def open_dcs(config: Path, scope: str) -> Dcs:
    """The store of this Patroni configuration. Raises StoreError where the file or the library is of no use, and the
    library's own errors where the store is not reached."""
    if fault := missing_library(config):
        raise StoreError(fault.message, hint=fault.hint)
    library = importlib.import_module("patroni.dcs")
    for name in TALKATIVE:
        _quieten(logging.getLogger(name))
    try:
        settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise StoreError(f"{config} cannot be read: {error}", hint=NAMES_A_FILE) from None
    if not isinstance(settings, dict):
        raise StoreError(f"{config} is no Patroni configuration", hint=NAMES_A_FILE)
    try:
        dcs: Dcs = library.get_dcs(settings | READER | {"scope": scope, "patronictl": True})
    except KeyError as error:
        hint = "what Patroni is told by PATRONI_… in its environment has to stand in the file"
        raise StoreError(f"{config} does not say {error}, which the store's client needs", hint=hint) from None
    return dcs


def close_dcs(dcs: Dcs) -> None:
    """End what lives on by itself: ZooKeeper's session with its threads. The library has no word for it."""
    client = getattr(dcs, "_client", None)
    for word in ("stop", "close"):
        if callable(end := getattr(client, word, None)):
            end()


def reason(problem: Exception) -> str:
    """What has failed, and behind it why: the library's own words are "ZooKeeper in not responding properly"."""
    if isinstance(problem, StoreError):
        return f"{problem.message} ({problem.hint})" if problem.hint else problem.message
    said: list[str] = []
    for error in _chain(problem):
        words = str(error).strip("'\"") or type(error).__name__
        if words not in said:
            said.append(words)
    return f"{type(problem).__name__}: {': '.join(said)}"


def _chain(problem: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    error: BaseException | None = problem
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _quieten(logger: logging.Logger) -> None:
    """Where nobody has configured logging, Python writes warnings to stderr by itself; whoever has still gets them."""
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
