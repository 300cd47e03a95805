"""A real ZooKeeper, written by Patroni's own class as a member writes it, and read through the same library."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from looking import holder, looking, until
from structlog.testing import capture_logs
from supervised import free_ports
from zookeeper_server import IS_THERE, ZooKeeper

from trunkline.agent.library_store import SILENT_S
from trunkline.agent.patroni_library import close_dcs

pytestmark = pytest.mark.skipif(not IS_THERE, reason="there is no Java, or no ZooKeeper in /usr/share/java")

LEADER = "/service/demo/leader"
AT_ONCE_S = 0.3


@pytest.fixture
async def zookeeper(directory: Path) -> AsyncIterator[ZooKeeper]:
    server = ZooKeeper(directory, *free_ports(1))
    (directory / "patroni.yml").write_text(f"scope: other\nzookeeper:\n  hosts: ['{server.address}']\n")
    yield server
    await server.end()


async def member(server: ZooKeeper, name: str) -> Any:
    """Patroni's own client, with the rights and the session of a member."""
    from patroni.dcs import get_dcs

    times = {"ttl": 20, "loop_wait": 5, "retry_timeout": 5}
    config = {"scope": "demo", "name": name, **times, "zookeeper": {"hosts": [server.address]}}
    dcs = await asyncio.to_thread(get_dcs, config)
    await asyncio.to_thread(dcs.touch_member, {"conn_url": "postgres://127.0.0.1:1/postgres", "role": "replica"})
    return dcs


async def test_the_leader_is_known_and_its_loss_at_once(
    zookeeper: ZooKeeper, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await zookeeper.start()
    first, second = await member(zookeeper, "pg1"), await member(zookeeper, "pg2")
    assert await asyncio.to_thread(first.attempt_to_acquire_leader)
    async with looking(directory / "patroni.yml") as store:
        await until(lambda: holder(store) == "pg1")
        monkeypatch.setattr("trunkline.agent.library_store.LOOK_S", 30.0)  # so it is ZooKeeper who tells
        await asyncio.sleep(1.0)
        await asyncio.to_thread(close_dcs, first)  # its session ends, and the key with it
        assert await until(lambda: holder(store) == "") < AT_ONCE_S
    monkeypatch.undo()
    async with looking(directory / "patroni.yml") as store:
        await until(lambda: holder(store) == "")
        assert await asyncio.to_thread(second.attempt_to_acquire_leader)
        await until(lambda: holder(store) == "pg2")
    await asyncio.to_thread(close_dcs, second)


async def test_nothing_is_written_and_nothing_stays(zookeeper: ZooKeeper, directory: Path) -> None:
    await zookeeper.start()
    first = await member(zookeeper, "pg1")
    assert await asyncio.to_thread(first.attempt_to_acquire_leader)
    threads = set(threading.enumerate())
    async with looking(directory / "patroni.yml") as store:
        await until(lambda: holder(store) == "pg1")
        assert await zookeeper.clients() == 2
        before = await zookeeper.changes()
        await asyncio.sleep(1.5)
        assert await zookeeper.changes() == before
        assert (await zookeeper.say("dump")).count(LEADER) == 1
        began = time.monotonic()
    assert time.monotonic() - began < AT_ONCE_S
    await until(lambda: {it for it in threading.enumerate() if it.name != "asyncio_0"} <= threads)
    assert await zookeeper.clients() == 1
    await asyncio.to_thread(close_dcs, first)


async def test_who_may_only_read_reads_and_who_may_not_is_told_so(zookeeper: ZooKeeper, directory: Path) -> None:
    from kazoo.client import KazooClient
    from kazoo.security import make_acl, make_digest_acl

    await zookeeper.start()
    admin = KazooClient(zookeeper.address, auth_data=[("digest", "admin:secret")])
    await asyncio.to_thread(admin.start)
    everything, reading = make_digest_acl("admin", "secret", all=True), make_acl("world", "anyone", read=True)
    await asyncio.to_thread(admin.create, LEADER, b"pg1", [everything, reading], makepath=True)
    with capture_logs() as lines:
        async with looking(directory / "patroni.yml") as store:
            await until(lambda: holder(store) == "pg1")
            assert lines == []
            await asyncio.to_thread(admin.set_acls, LEADER, [everything])
            await until(lambda: bool(lines))
    assert "NoAuthError" in lines[0]["why"]
    await asyncio.to_thread(admin.stop)
    await asyncio.to_thread(admin.close)


@pytest.mark.slow
async def test_it_is_down_at_our_start_and_later_and_the_log_says_so(zookeeper: ZooKeeper, directory: Path) -> None:
    with capture_logs() as lines:
        async with looking(directory / "patroni.yml") as store:
            await until(lambda: bool(lines))
            assert lines[0]["why"] == f"no answer for {SILENT_S:.0f} s"
            await zookeeper.start()
            await until(lambda: holder(store) == "")
            assert lines[-1]["event"] == "the store answers again"
            lines.clear()
            await zookeeper.end()
            assert await until(lambda: bool(lines)) < SILENT_S + 2.0
            assert await store.ask() is None
            await zookeeper.start()
            await until(lambda: lines[-1]["event"] == "the store answers again")
            assert await store.ask() is not None
            began = time.monotonic()
        assert time.monotonic() - began < AT_ONCE_S
    assert len(lines) <= 3
