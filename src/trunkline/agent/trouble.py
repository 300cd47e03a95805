"""A failure is a line in the log when it begins, and one when it has ended, however long it lasts and whatever it does.

One that comes and goes is told as one: each time it is back soon, the next end has to last twice as long before it is
believed. Where another reason is another thing to do for somebody, some reasons of one failure are told, each once.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

import structlog

SOON_S = 60.0
FIRST_CALM_S, LONGEST_CALM_S = 1.0, 60.0
SOME_REASONS = 5
"""Bounded: a reason with a number in it would be another each time."""

log = structlog.get_logger()


class Timer(Protocol):
    """What `later` gives back."""

    def cancel(self) -> None:
        """It does not happen."""


def _later(seconds: float, what: Callable[[], None]) -> Timer:
    return asyncio.get_running_loop().call_later(seconds, what)


class Trouble:
    """One kind of failure of one thing. `begins` and `ends`: the log lines, `ends` "" where somebody else
    tells the end; `level`: of the first; `reasons`: how many of one failure are told; `fields`: of both lines."""

    def __init__(
        self,
        begins: str,
        ends: str,
        *,
        level: str = "warning",
        reasons: int = 1,
        clock: Callable[[], float] = time.monotonic,
        later: Callable[[float, Callable[[], None]], Timer] = _later,
        **fields: object,
    ) -> None:
        self._begins, self._ends, self._level, self._fields = begins, ends, level, fields
        self._clock, self._later = clock, later
        self._most_reasons = reasons
        self._reasons: set[str] = set()
        self._is_there = False
        self._ended_at: float | None = None
        self._calm_s = 0.0
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        return f"Trouble({self._begins!r}, is_there={self._is_there})"

    @property
    def is_there(self) -> bool:
        """Whether the log has told of it, and not of its end."""
        return self._is_there

    def tell(self, why: str, **fields: object) -> None:
        """It is so, for this reason, or it is not ("")."""
        if why:
            self._begin(why, fields)
        else:
            self._end(fields)

    def _begin(self, why: str, fields: dict[str, object]) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._is_there:
            is_soon = self._ended_at is not None and self._clock() - self._ended_at < SOON_S
            self._calm_s = min(max(FIRST_CALM_S, 2 * self._calm_s), LONGEST_CALM_S) if is_soon else 0.0
            self._is_there = True
            self._reasons = set()
        if why not in self._reasons and len(self._reasons) < self._most_reasons:
            self._reasons.add(why)
            getattr(log, self._level)(self._begins, **(self._fields | fields), why=why)

    def _end(self, fields: dict[str, object]) -> None:
        if not self._is_there or self._timer is not None:
            return
        if self._calm_s:
            self._timer = self._later(self._calm_s, lambda: self._over(fields))
        else:
            self._over(fields)

    def _over(self, fields: dict[str, object]) -> None:
        self._timer, self._is_there, self._ended_at = None, False, self._clock()
        if self._ends:
            log.info(self._ends, **(self._fields | fields))
