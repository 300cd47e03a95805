"""`trunkline agent` as a process of its own, which nobody supervises."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from supervised import Supervised


@asynccontextmanager
async def agent_beside(run: Supervised, config: Path | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
    """Beside the HAProxy of this run, with its settings or others; it steers by now."""
    words = (sys.executable, "-m", "trunkline", "agent", "--config", config or run.config, "--dir", run.directory)
    with run.new_log() as log:
        process = await asyncio.create_subprocess_exec(*words, stdout=log, stderr=log)
    try:
        await run.said("steering HAProxy")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
