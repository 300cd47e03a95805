"""The leader key in a real etcd: its loss is known at once, its lease is never said to last longer than it does."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NoReturn

import pytest
import structlog
from etcd_server import Etcd
from structlog.testing import capture_logs
from supervised import free_ports

from tests.authority import new_authority
from trunkline.agent import store as agent_store
from trunkline.agent import trouble
from trunkline.agent.store import EtcdStore
from trunkline.config.settings import EtcdSettings, StoreSettings
from trunkline.lab.binaries import find_binaries
from trunkline.model.facts import LeaderKey

KEY = "/service/demo/leader"
TIMEOUT_S = 20.0
AT_ONCE_S = 1.0
"""A bound against polling on a busy machine; it is milliseconds."""


@pytest.fixture
async def etcd(directory: Path) -> AsyncIterator[Etcd]:
    binary = find_binaries().etcd
    server = Etcd(binary, directory, *free_ports(2))
    await server.start()
    yield server
    server.signal(signal.SIGCONT)
    await server.end()


class Watched:
    """A store that is watched, and what it says."""

    def __init__(self, store: EtcdStore) -> None:
        self.store = store
        self.changed = asyncio.Event()

    def holder(self) -> str | None:
        key = self.key()
        return key.holder if key is not None else None

    def key(self) -> LeaderKey | None:
        return self.store.leader_key(time.monotonic())

    async def until(self, is_so: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> float:
        """Seconds until it is so; it is looked at whenever the store says that there is news."""
        began = time.monotonic()
        async with asyncio.timeout(timeout_s):
            while not is_so():
                self.changed.clear()
                await self.changed.wait()
        return time.monotonic() - began

    async def asked(self) -> LeaderKey:
        """An answer, which must come within the time that a session's fate allows."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                key = await self.store.ask()
                if key is not None:
                    return key
                await asyncio.sleep(0.05)


@asynccontextmanager
async def watching(url: str, **settings: object) -> AsyncIterator[Watched]:
    chosen = EtcdSettings.model_validate({"hosts": url, **settings})
    watched = Watched(EtcdStore(StoreSettings(etcd=chosen), "demo"))
    task = asyncio.create_task(watched.store.run(watched.changed.set))
    try:
        yield watched
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_who_holds_the_key_is_known_and_its_loss_at_once(etcd: Etcd) -> None:
    async with watching(etcd.url) as watched:
        await watched.until(lambda: watched.key() is not None)
        assert watched.holder() is None
        await etcd.put(KEY, "pg1")
        assert await watched.until(lambda: watched.holder() == "pg1") < AT_ONCE_S
        await etcd.put("/service/other/leader", "pg7")
        await etcd.delete(KEY)
        assert await watched.until(lambda: watched.holder() is None) < AT_ONCE_S
        await etcd.put(KEY, "pg2")
        assert await watched.until(lambda: watched.holder() == "pg2") < AT_ONCE_S


async def test_a_lease_is_never_said_to_last_longer_than_it_does(etcd: Etcd) -> None:
    lease = await etcd.grant(5)
    await etcd.put(KEY, "pg1", lease)
    told: list[float] = []
    async with watching(etcd.url) as watched:
        while (key := await watched.asked()).holder is not None:
            assert key.remaining_s is not None
            told.append(time.monotonic() + key.remaining_s)
            await asyncio.sleep(0.05)
        gone = time.monotonic()
    assert max(told) <= gone
    assert max(told) > gone - 2.0  # etcd looks for ended leases twice a second


async def test_a_lease_that_is_renewed_is_said_to_last(etcd: Etcd) -> None:
    lease = await etcd.grant(5)
    await etcd.put(KEY, "pg1", lease)
    async with watching(etcd.url) as watched:
        before = (await watched.asked()).remaining_s
        await asyncio.sleep(1.5)
        await etcd.renew(lease)
        after = (await watched.asked()).remaining_s
    assert before is not None
    assert after is not None
    assert after > before - 1.2


async def test_certificates_that_come_later_are_waited_for(
    etcd: Etcd, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of an agent that renews them while we start."""
    monkeypatch.setattr(agent_store, "LONGEST_PAUSE_S", 0.05)
    await etcd.put(KEY, "pg1")
    late = directory / "late.pem"
    with capture_logs() as lines:
        async with watching(etcd.url, ca_file=str(late)) as watched:
            async with asyncio.timeout(TIMEOUT_S):
                while not lines:  # noqa: ASYNC110 - a log tells nobody
                    await asyncio.sleep(0.01)
            assert await watched.store.ask() is None
            new_authority(directory).ca.rename(late)
            assert (await watched.asked()).holder == "pg1"
    begins, ends = "the store cannot be asked, other members are", "the store answers again"
    assert [line["event"] for line in lines] == [begins, ends]
    assert str(late) in lines[0]["why"]


async def test_an_etcd_that_comes_later_is_waited_for(etcd: Etcd) -> None:
    await etcd.end()
    async with watching(etcd.url) as watched:
        assert await watched.store.ask() is None
        assert watched.key() is None
        await etcd.start()
        await etcd.put(KEY, "pg1")
        await watched.until(lambda: watched.holder() == "pg1")


async def test_an_etcd_that_is_stopped_makes_what_is_known_old(etcd: Etcd) -> None:
    await etcd.put(KEY, "pg1")
    async with watching(etcd.url) as watched:
        await watched.asked()
        etcd.signal(signal.SIGSTOP)
        began = time.monotonic()
        assert await watched.store.ask() is None
        key = watched.key()
        assert key is not None
        assert key.age_s >= time.monotonic() - began - 0.01
        etcd.signal(signal.SIGCONT)
        assert (await watched.asked()).age_s < AT_ONCE_S


async def test_the_watch_begins_again_when_etcd_was_started_again(etcd: Etcd) -> None:
    await etcd.put(KEY, "pg1")
    async with watching(etcd.url) as watched:
        await watched.until(lambda: watched.holder() == "pg1")
        await etcd.end()
        await etcd.start()
        await etcd.put(KEY, "pg2")
        await watched.until(lambda: watched.holder() == "pg2")
        await etcd.delete(KEY)
        await watched.until(lambda: watched.holder() is None)


async def test_another_member_of_etcd_is_asked_when_the_first_is_gone(etcd: Etcd) -> None:
    await etcd.put(KEY, "pg1")
    (nobody,) = free_ports(1)
    async with watching(f"http://127.0.0.1:{nobody}", hosts=[f"http://127.0.0.1:{nobody}", etcd.url]) as watched:
        await watched.until(lambda: watched.holder() == "pg1")


async def test_a_user_who_may_only_read_is_enough(etcd: Etcd) -> None:
    lease = await etcd.grant(30)
    await etcd.put(KEY, "pg1", lease)
    await etcd.add_reader("trunkline", "geheim", "/service/")
    async with watching(etcd.url, username="trunkline", password="geheim") as watched:
        key = await watched.asked()
        assert key.holder == "pg1"
        assert key.remaining_s is not None
        assert key.remaining_s > 20
        await watched.until(lambda: watched.holder() == "pg1")
        await etcd.put(KEY, "pg2", lease)
        assert await watched.until(lambda: watched.holder() == "pg2") < AT_ONCE_S


@pytest.mark.parametrize("login", [{}, {"username": "trunkline", "password": "wrong"}], ids=["nobody", "wrong"])
async def test_a_user_who_may_not_read_is_told_what_is_missing(
    login: dict[str, str], etcd: Etcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    await etcd.put(KEY, "pg1")
    await etcd.add_reader("trunkline", "geheim", "/service/")
    told = asyncio.Event()
    lines: list[Mapping[str, object]] = []

    def hear(logger: object, method: str, line: MutableMapping[str, object]) -> NoReturn:
        lines.append(line)
        told.set()
        raise structlog.DropEvent

    monkeypatch.setattr(trouble, "log", structlog.wrap_logger(None, processors=[hear]))
    async with watching(etcd.url, **login) as watched, asyncio.timeout(TIMEOUT_S):
        await told.wait()
        assert await watched.store.ask() is None
        assert watched.key() is None
    (line,) = lines
    assert line["event"] == "the store cannot be asked, other members are"
    assert "refuses" in str(line["why"])


async def test_a_token_that_has_ended_is_asked_for_again(etcd: Etcd) -> None:
    await etcd.put(KEY, "pg1")
    await etcd.add_reader("trunkline", "geheim", "/service/")
    async with watching(etcd.url, username="trunkline", password="geheim") as watched:
        assert (await watched.asked()).holder == "pg1"
        await etcd.end()
        await etcd.start()  # it keeps no tokens
        assert (await watched.asked()).holder == "pg1"
