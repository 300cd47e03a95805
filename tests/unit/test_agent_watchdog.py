"""The service manager's watchdog is content for as long as the agent is well, and no longer."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from trunkline.agent.watchdog import PER_PERIOD, stay_well

PERIOD_S = 0.15


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A socket as systemd's, which asks for a word in each period."""
    with TemporaryDirectory() as name, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(Path(name) / "notify"))
        receiver.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(Path(name) / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", str(int(PERIOD_S * 1e6)))
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        yield receiver


async def words(manager: socket.socket, count: int) -> list[bytes]:
    async with asyncio.timeout(20):
        return [await asyncio.get_running_loop().sock_recv(manager, 100) for _ in range(count)]


async def test_it_is_told_in_each_period_while_all_is_well_and_not_a_word_after_that(manager: socket.socket) -> None:
    is_well = True
    telling = asyncio.create_task(stay_well(lambda: is_well))
    assert set(await words(manager, 2 * PER_PERIOD)) == {b"WATCHDOG=1"}
    is_well = False
    await asyncio.sleep(PERIOD_S)
    with suppress(BlockingIOError):
        while manager.recv(100):
            pass
    await asyncio.sleep(2 * PERIOD_S)  # nothing comes, which nobody announces
    with pytest.raises(BlockingIOError):
        manager.recv(100)
    is_well = True
    assert await words(manager, 1) == [b"WATCHDOG=1"]
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
