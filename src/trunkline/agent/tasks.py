"""Tasks that have a name and never end, and what happens when one does.

An error of ours ends the run, since whoever raised it meant that. Anything else is a defect of this program: it is
logged with everything there is to know, and the task begins again, because HAProxy must not go down for it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, NoReturn, Self

import structlog

from trunkline.errors import TrunklineError

AGAIN_AFTER_S = 5.0
MOST_DEFECTS = 20
"""Of one task: what happens again and again is told once."""

log = structlog.get_logger()

Eternal = Callable[[], Coroutine[Any, Any, NoReturn]]


class Tasks:
    """Use it as `async with Tasks() as tasks`; at its end every task is cancelled."""

    def __init__(self, *, again_after_s: float = AGAIN_AFTER_S) -> None:
        self._again_after_s = again_after_s
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failed = asyncio.Event()
        self._error: TrunklineError | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cancel(*self._tasks)

    def start(self, name: str, eternal: Eternal) -> None:
        """Begin a task; names are unique."""
        self._tasks[name] = asyncio.create_task(self._guard(name, eternal), name=name)

    def drop(self, *names: str) -> list[asyncio.Task[None]]:
        """End these tasks, those of them that there are, without waiting for it."""
        tasks = [self._tasks.pop(name) for name in names if name in self._tasks]
        for task in tasks:
            task.cancel()
        return tasks

    async def cancel(self, *names: str) -> None:
        """End these tasks, back when they have ended."""
        await asyncio.gather(*self.drop(*names), return_exceptions=True)

    async def until(self, event: asyncio.Event) -> None:
        """Back when the event has come; raises the error that a task has ended with before."""
        waits = [asyncio.create_task(it.wait(), name="end of the run") for it in (event, self._failed)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self._error is not None and not event.is_set():
            raise self._error

    async def _guard(self, name: str, eternal: Eternal) -> None:
        told: set[str] = set()
        while True:
            try:
                await eternal()
            except TrunklineError as error:
                self._error = error
                self._failed.set()
                return
            except Exception as error:
                if repr(error) not in told and len(told) < MOST_DEFECTS:
                    log.exception("a defect of trunkline itself; please report it", task=name)
                    told.add(repr(error))
            await asyncio.sleep(self._again_after_s)
