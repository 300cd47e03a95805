"""A server that a test starts, stops for a while, kills, and starts again."""

import asyncio
import signal
from pathlib import Path

from trunkline.lab.processes import clean_environment


class OwnProcess:
    """Not started yet. What it says goes to `log`."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def run(self, *command: str) -> None:
        """Back when it runs, long before it answers."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdout=log, stderr=log, env=clean_environment()
            )

    def signal(self, number: signal.Signals) -> None:
        """Stop, continue or kill it."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def end(self) -> None:
        """Back when it is gone; what it has been told stays."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()
