"""The leader key through Patroni's own library: a real etcd, read and never written, and a library that fails."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from etcd_server import Etcd
from supervised import free_ports

from trunkline.agent.library_store import FRESH_S, Dcs, LibraryStore, Opening
from trunkline.lab.binaries import find_binaries

TIMEOUT_S = 20.0


@asynccontextmanager
async def looking(config: Path, opening: Opening | None = None) -> AsyncIterator[LibraryStore]:
    store = LibraryStore(config, "demo", opening)
    task = asyncio.create_task(store.run(lambda: None))
    try:
        yield store
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            if is_so():
                return
            await asyncio.sleep(0.02)


def holder(store: LibraryStore) -> str | None:
    key = store.leader_key(time.monotonic())
    return key.holder if key is not None else None


async def test_the_leader_of_a_real_store_and_nothing_is_written(directory: Path) -> None:
    etcd = Etcd(find_binaries().etcd, directory, *free_ports(2))
    await etcd.start()
    try:
        await etcd.put("/service/demo/leader", "pg1")
        await etcd.put("/service/demo/members/pg1", '{"conn_url": "postgres://127.0.0.1:1/postgres"}')
        before = (await etcd.call("/v3/maintenance/status", {}))["header"]["revision"]
        config = directory / "patroni.yml"
        config.write_text(f"scope: other\netcd3:\n  host: {etcd.url.removeprefix('http://')}\n")
        async with looking(config) as store:
            await until(lambda: holder(store) == "pg1")
            assert (await etcd.call("/v3/maintenance/status", {}))["header"]["revision"] == before
            assert (await etcd.call("/v3/lease/leases", {})).get("leases", []) == []
            key = await store.ask()
            assert key is not None
            assert key.age_s <= FRESH_S
            await etcd.delete("/service/demo/leader")
            await until(lambda: store.leader_key(time.monotonic()) is not None and holder(store) is None)
    finally:
        await etcd.end()


class Library:
    """Answers until it `hangs`."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.goes_on.set()

    def get_cluster(self) -> object:
        self.goes_on.wait(TIMEOUT_S)
        return SimpleNamespace(leader=SimpleNamespace(name="pg1"))

    def watch(self, leader_version: object, timeout: float) -> bool:
        return threading.Event().wait(0.01)


async def test_a_library_that_hangs_costs_nobody_anything(tmp_path: Path) -> None:
    library = Library()
    async with looking(tmp_path, lambda config, scope: library) as store:
        await until(lambda: holder(store) == "pg1")
        library.goes_on.clear()
        await asyncio.sleep(FRESH_S + 0.1)  # what is known grows old, which nobody announces
        assert await store.ask() is None
        library.goes_on.set()
        await until(lambda: (key := store.leader_key(time.monotonic())) is not None and key.age_s < FRESH_S)


async def test_a_store_that_cannot_be_opened_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.agent.library_store.PAUSE_S", 0.01)
    times = 0

    def opening(config: Path, scope: str) -> Dcs:
        nonlocal times
        times += 1
        if times < 3:
            raise ConnectionError("nobody is there")
        return Library()

    async with looking(tmp_path, opening) as store:
        await until(lambda: holder(store) == "pg1")
    assert times == 3
