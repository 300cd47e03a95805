"""The agent as a child of `trunkline run`: a process of its own, so that nothing that happens to it touches HAProxy.

Started when HAProxy serves, started again when it ends, and told of our own end by the pipe that is its stdin: it
closes however we end.
"""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import structlog

from trunkline.adapters import strangers
from trunkline.adapters.files import read_text
from trunkline.adapters.process_table import command_line
from trunkline.agent.keeper import STEADY_S, backoff_s

STOP_TIMEOUT_S = 3.0
LONGEST_PAUSE_S = 4.0
POLL_S = 0.01
LOCK = "agent.lock"
"""What the agent that steers holds; its pid is in it."""

log = structlog.get_logger()


async def end_orphan(directory: Path) -> None:
    """End the agent that a killed supervisor has left; it may hang, or not have noticed. What it has set is leased."""
    pid = _orphan(directory)
    if pid is None:
        return
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(STOP_TIMEOUT_S):
            while _orphan(directory) is not None:  # noqa: ASYNC110 - nobody tells us: it is not our child
                await asyncio.sleep(POLL_S)


def _orphan(directory: Path) -> int | None:
    noted = (read_text(directory / LOCK) or "").strip()
    words = command_line(int(noted)) if noted.isdigit() else ()
    return int(noted) if "--child" in words and str(directory) in words else None


class Offspring:
    """`command`: the whole command line of the agent; `checks`: what HAProxy tells of failed checks. `listener`: where
    it tells of strangers."""

    def __init__(self, command: Sequence[str], checks: socket.socket) -> None:
        self.listener, teller = strangers.pair()
        descriptors = {"--checks-fd": checks.fileno(), "--strangers-fd": teller.fileno()}
        self._command = (*command, *(word for name, number in descriptors.items() for word in (name, str(number))))
        self._passed = checks, teller  # open for as long as we are, for each agent that is started
        self._process: asyncio.subprocess.Process | None = None
        self._is_renewed = False

    async def keep(self, serves: asyncio.Event) -> NoReturn:
        """Start it again whenever it has ended; HAProxy goes on with its own checks meanwhile."""
        await serves.wait()
        deaths = 0
        try:
            while True:
                began = time.monotonic()
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=asyncio.subprocess.PIPE,
                    pass_fds=tuple(it.fileno() for it in self._passed),
                    start_new_session=True,
                )
                log.info("the agent is started", pid=self._process.pid)
                status = await self._process.wait()
                if self._is_renewed:
                    self._is_renewed, deaths = False, 0
                    continue
                deaths = 0 if time.monotonic() - began > STEADY_S else deaths + 1
                pause_s = min(backoff_s(deaths), LONGEST_PAUSE_S)
                how = f"ended with status {status}" if status >= 0 else f"was ended by signal {-status}"
                log.error(f"the agent {how}, it is started again", pid=self._process.pid, after=f"{pause_s:g} s")
                await asyncio.sleep(pause_s)
        finally:
            await self._end()

    def renew(self) -> None:
        """Have it start anew, with the settings as they are now."""
        process = self._process
        if process is not None and process.returncode is None:
            self._is_renewed = True
            with suppress(ProcessLookupError):
                process.terminate()

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
