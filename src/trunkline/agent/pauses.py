"""Pauses between two questions that anybody in a hurry may end."""

import asyncio
import math
from collections.abc import Callable

from trunkline.plan.pace import WATCHFUL

GRAIN_S = 0.01


class Pauses:
    """Those of the questions of one cluster."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def end_all(self) -> None:
        """Somebody is in a hurry."""
        for pause in self._waiting:
            _end(pause)

    async def pause(self, since: float, length_s: Callable[[], float | None]) -> None:
        """Until it is time for the next question, or until somebody is in a hurry. There are thousands of these a
        second, so that it is one future and one timer, and no exception."""
        loop = asyncio.get_running_loop()
        while True:
            wanted_s = length_s()
            until = None if wanted_s is None else _rounded(since + wanted_s, wanted_s)
            if until is not None and until <= loop.time():
                await asyncio.sleep(0)
                return
            pause: asyncio.Future[None] = loop.create_future()
            timer = loop.call_at(until, _end, pause) if until is not None else None
            self._waiting.add(pause)
            try:
                await pause
            finally:
                self._waiting.discard(pause)
                if timer is not None:
                    timer.cancel()
            if length_s() is not None:
                return


def _end(pause: "asyncio.Future[None]") -> None:
    if not pause.done():
        pause.set_result(None)


def _rounded(moment: float, length_s: float) -> float:
    """A little later, after a long pause, so that hundreds who wait are woken together."""
    return math.ceil(moment / GRAIN_S) * GRAIN_S if length_s >= WATCHFUL.rest_s else moment
