"""A store that is looked at through Patroni's library, and what it says."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from trunkline.agent.library_store import LibraryStore
from trunkline.agent.patroni_library import Opening

TIMEOUT_S = 20.0


@asynccontextmanager
async def looking(
    config: Path, opening: Opening | None = None, changed: Callable[[], None] = lambda: None
) -> AsyncIterator[LibraryStore]:
    store = LibraryStore(config, "demo", opening)
    task = asyncio.create_task(store.run(changed))
    try:
        yield store
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(is_so: Callable[[], bool]) -> float:
    """How long it took, in seconds."""
    began = time.monotonic()
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            if is_so():
                return time.monotonic() - began
            await asyncio.sleep(0.01)


def holder(store: LibraryStore) -> str | None:
    """ "" where nobody holds the key, None where nothing is known."""
    key = store.leader_key(time.monotonic())
    return None if key is None else key.holder or ""
