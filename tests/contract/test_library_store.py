"""The leader key through Patroni's own library: a real etcd, read and never written, and a library that fails."""

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from etcd_server import Etcd
from looking import TIMEOUT_S, holder, looking, until
from supervised import free_ports

from trunkline.agent.library_store import FRESH_S
from trunkline.agent.patroni_library import Dcs, open_dcs
from trunkline.errors import StoreError
from trunkline.lab.binaries import find_binaries


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
            await until(lambda: holder(store) == "")
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


async def test_what_the_client_of_kubernetes_needs_is_asked_for_by_name(directory: Path) -> None:
    config = directory / "patroni.yml"
    config.write_text("scope: other\nkubernetes:\n  use_endpoints: true\n")
    with pytest.raises(StoreError, match="does not say 'labels'") as error:
        open_dcs(config, "demo")
    assert "PATRONI_" in error.value.hint


ALONE = """
import asyncio, sys
from pathlib import Path
from trunkline.agent.library_store import LibraryStore
try:
    asyncio.run(asyncio.wait_for(LibraryStore(Path(sys.argv[1]), "demo").run(print), 1.0))
except TimeoutError:
    pass
"""


async def test_a_library_that_waits_for_its_store_holds_no_exit_and_fills_no_log(directory: Path) -> None:
    """ZooKeeper's client waits 15 s for a first answer, and warns of each attempt."""
    config = directory / "patroni.yml"
    config.write_text(f"scope: other\nzookeeper:\n  hosts: ['127.0.0.1:{free_ports(1)[0]}']\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ALONE, str(config), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        told, warned = await asyncio.wait_for(process.communicate(), 10.0)
    finally:
        if process.returncode is None:
            process.kill()
    assert (told, warned, process.returncode) == (b"", b"", 0)
