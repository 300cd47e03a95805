"""What people have asked for, on disk: one small file beside the history, replaced as a whole.

Owns where it is, who may change it (one at a time), and when the agent reads it again. Several write: whoever types
`trunkline drain` or `trunkline ready`. A file that cannot be read or understood is told and changed by nobody; an agent
goes on with what it knew before.
"""

import time
from collections.abc import Callable
from pathlib import Path

import structlog

from trunkline.adapters.files import read_text, turn, write_private
from trunkline.agent.directory import lasting
from trunkline.errors import IntentsError, TrunklineError
from trunkline.model.intent import Asked, Drain, asked
from trunkline.wire.intents import read_intents, write_intents

NAME, LOCK = "intents.json", "intents.lock"

Drains = tuple[Drain, ...]
Sign = tuple[int, ...] | None

log = structlog.get_logger()


def intents_file(directory: Path) -> Path:
    """Where it is for a run in `directory`."""
    return lasting(directory) / NAME


def read_drains(directory: Path) -> Drains:
    """Every drain that is kept, also those that are over. Raises TrunklineError where nobody could tell."""
    path = intents_file(directory)
    text = read_text(path)
    if text is None:
        return ()
    try:
        return read_intents(text)
    except IntentsError as error:
        raise IntentsError(
            f"{path} cannot be used: {error.message}",
            hint="nothing that it asks for is undone by a running agent; move it away, and ask again for what shall be",
        ) from None


def change_drains(directory: Path, change: Callable[[Drains], Drains]) -> Drains:
    """Keep what `change` makes of the drains that are kept; returns what was there before. One at a time.

    Raises TrunklineError, and then nothing is changed.
    """
    path = intents_file(directory)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise IntentsError(f"cannot make {path.parent}: {error.strerror or error}", hint="run as root") from None
    with turn(path.with_name(LOCK)):
        before = read_drains(directory)
        after = change(before)
        if set(after) != set(before):
            write_private(path, write_intents(after))
        return before


class Intents:
    """The agent's side: looks at every cycle whether the file is another, and reads it then."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._sign: Sign = ()
        self._drains: Drains = ()
        self._problem = ""
        self._told: dict[tuple[str, str], Drain] = {}

    def look(self) -> tuple[Asked, ...]:
        """What is asked for now, and what was and is over."""
        sign = _sign(intents_file(self._directory))
        if sign != self._sign:
            self._sign = sign
            self._read()
        now_s = time.time()
        known = tuple(asked(drain, now_s) for drain in self._drains)
        self._tell({(it.drain.scope, it.drain.member): it.drain for it in known if it.is_in_force})
        return known

    def _read(self) -> None:
        try:
            self._drains, problem, hint = read_drains(self._directory), "", ""
        except TrunklineError as error:
            problem, hint = error.message, error.hint
        if problem and problem != self._problem:
            log.error("what was asked for cannot be read, what is known of it stays", why=problem, hint=hint or None)
        elif self._problem and not problem:
            log.info("what was asked for can be read again")
        self._problem = problem

    def _tell(self, now: dict[tuple[str, str], Drain]) -> None:
        for place, drain in sorted(now.items()):
            if self._told.get(place) != drain:
                log.info("a drain is asked for", scope=drain.scope, member=drain.member, drain=drain.words)
        for place, drain in sorted(self._told.items()):
            if place not in now:
                log.info("a drain is over", scope=drain.scope, member=drain.member, drain=drain.words)
        self._told = now


def _sign(path: Path) -> Sign:
    """What differs when the file does, or what keeps us from it; None where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return (-(error.errno or 1),)
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
