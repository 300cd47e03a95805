"""Members come, go and move behind a HAProxy that is never reloaded, or that is killed in the middle of it."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import slow_pulse
from contract_subjects import Postgres
from supervised import PATIENCE_S, Supervised

from trunkline.agent.steering import LEASE_MS
from trunkline.errors import RuntimeSocketError
from trunkline.model.proxy import Health, ServerState
from trunkline.testing.fake_cluster import FakeCluster, MemberStory

pytestmark = pytest.mark.haproxy

WRITE, READ = "postgres_primary", "postgres_replicas"
KNOCK_S = 0.01
UNDONE_S = LEASE_MS / 1000 + 0.5


async def server(run: Supervised, proxy: str, name: str) -> ServerState | None:
    """How HAProxy has it, None where it has no such server."""
    try:
        proxies = await run.runtime.proxies()
    except RuntimeSocketError:
        return None
    return next((it for one in proxies if one.name == proxy for it in one.servers if it.name == name), None)


async def is_so(run: Supervised, proxy: str, name: str, health: Health) -> bool:
    found = await server(run, proxy, name)
    return found is not None and found.health is health


async def becomes(run: Supervised, proxy: str, name: str, health: Health) -> None:
    await run.until(lambda: is_so(run, proxy, name, health))


def story_of(postgres: Postgres, **tags: object) -> MemberStory:
    host, port = postgres.address
    return MemberStory(name="pg4", host=host, port=port, tags=tags)


async def rests(run: Supervised, proxy: str, name: str, *, in_maint: bool = False) -> None:
    """Back when it gets no new sessions, or not even checks."""

    async def is_resting() -> bool:
        placed = await run.runtime.placed()
        return any((it.proxy, it.name, it.is_in_maint, it.is_resting) == (proxy, name, in_maint, True) for it in placed)

    await run.until(is_resting)


@asynccontextmanager
async def load(run: Supervised, proxy: str = READ) -> AsyncIterator[list[str]]:
    """Clients that come one after another and stay; the list is of those who were closed."""
    closed: list[str] = []
    port = run.ports[0] if proxy == WRITE else run.ports[1]

    async def come() -> None:
        while True:
            reader, _ = await run.connect(port)
            watches.append(asyncio.create_task(watch(reader)))
            await asyncio.sleep(KNOCK_S)

    async def watch(reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            await reader.read(1)
        closed.append("a client was closed")

    watches: list[asyncio.Task[None]] = []
    coming = asyncio.create_task(come())
    yield closed
    assert not coming.done(), coming
    for task in (coming, *watches):
        task.cancel()
    await asyncio.gather(coming, *watches, return_exceptions=True)


async def test_one_that_streams_is_met_there(run: Supervised, cluster: FakeCluster, fourth: Postgres) -> None:
    """The agent tells the supervisor, which asks nobody of its own accord here."""
    await run.start(slow_pulse.__file__)
    await run.until(run.leads_to("pg1"))
    await run.said("steering HAProxy")
    await cluster.join(story_of(fourth))
    await becomes(run, READ, "pg4", Health.UP)
    await run.stop()


async def test_one_joins_and_leaves_under_load(run: Supervised, cluster: FakeCluster, fourth: Postgres) -> None:
    await run.serve()
    workers = run.family.pids
    async with load(run) as closed:
        await cluster.join(story_of(fourth))
        async with asyncio.timeout(PATIENCE_S):  # how soon it is, `make bench ARGS=churn` says
            await fourth.clients.get()
        assert (found := await server(run, READ, "pg4")) is not None
        assert found.address == f"{fourth.address[0]}:{fourth.address[1]}"
        config = Path(run.paths.config).read_text()
        assert "server pg4 " in config
        assert " pg4 " in Path(run.paths.state).read_text()
        await cluster.leave("pg4")
        await rests(run, READ, "pg4")
        assert not closed
    for client in run.clients:
        client.close()
    await rests(run, READ, "pg4", in_maint=True)
    assert "server pg4 " not in Path(run.paths.config).read_text()
    await cluster.join(story_of(fourth))
    await becomes(run, READ, "pg4", Health.UP)
    assert run.family.pids == workers
    assert "HAProxy reloaded" not in run.words, run.words


async def test_who_joins_gets_nobody_before_it_answers_so(
    run: Supervised, cluster: FakeCluster, fourth: Postgres
) -> None:
    """Neither when it comes, nor when it comes back: a server that is added, or leaves maintenance, counts as up."""
    await run.serve()
    async with load(run), load(run, WRITE):
        for _ in range(3):
            await cluster.join(story_of(fourth, noloadbalance=True))
            await run.until(lambda: has_been_asked(run, "pg4"))
            await cluster.leave("pg4")
            await rests(run, WRITE, "pg4", in_maint=True)
            await rests(run, READ, "pg4", in_maint=True)
    assert fourth.clients.empty()


async def has_been_asked(run: Supervised, name: str) -> bool:
    found = await server(run, WRITE, name)
    return found is not None and found.check_status.startswith("L7")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
async def test_what_is_leased_of_one_that_joined_ends_with_the_agent(
    run: Supervised, cluster: FakeCluster, fourth: Postgres, number: signal.Signals
) -> None:
    """Its API is silent, and its PostgreSQL answers."""
    await run.serve()
    await run.said("steering HAProxy")
    await cluster.join(story_of(fourth))
    await becomes(run, READ, "pg4", Health.UP)
    cluster.apis["pg4"].fall_silent()
    await becomes(run, READ, "pg4", Health.NO_CHECK)
    for pid in (run.process.pid, *run.agents):
        os.kill(pid, number)
    struck = time.monotonic()
    await run.until(lambda: is_checked_again(run, "pg4"))
    assert time.monotonic() - struck < UNDONE_S
    assert not (await run.runtime.lease()).stuck


async def is_checked_again(run: Supervised, name: str) -> bool:
    found = await server(run, READ, name)
    return found is not None and found.health is not Health.NO_CHECK


async def test_a_changed_address_is_followed(run: Supervised, cluster: FakeCluster, fourth: Postgres) -> None:
    await run.serve()
    workers = run.family.pids
    cluster.stories["pg2"].host, cluster.stories["pg2"].port = fourth.address
    async with load(run), asyncio.timeout(PATIENCE_S):
        await fourth.clients.get()
    assert run.family.pids == workers
    assert "pg2 moved from" in run.words


async def test_what_a_person_has_set_is_left_alone(run: Supervised, cluster: FakeCluster, fourth: Postgres) -> None:
    await run.serve()
    await run.runtime.command("set", "server", f"{READ}/pg3", "state", "maint")
    await run.runtime.command("add", "server", f"{READ}/guest", "127.0.0.1:1")
    await cluster.join(story_of(fourth))
    await becomes(run, READ, "pg4", Health.UP)
    await cluster.leave("pg4")
    await rests(run, READ, "pg4", in_maint=True)
    await cluster.join(story_of(fourth))
    await becomes(run, READ, "pg4", Health.UP)
    assert "HAProxy reloaded" not in run.words, run.words
    assert await is_so(run, READ, "pg3", Health.MAINT)
    assert await server(run, READ, "guest") is not None


async def test_a_primary_that_is_listed_no_more_keeps_its_sessions_until_there_is_another(
    run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres]
) -> None:
    await run.serve()
    reader, _ = await run.session(postgres)
    cluster.stories["pg1"].is_listed = False
    await rests(run, WRITE, "pg1")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await reader.read(1)
    cluster.stories["pg1"].is_listed = True
    await becomes(run, WRITE, "pg1", Health.UP)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await reader.read(1)
    cluster.stories["pg1"].is_listed = False
    await rests(run, WRITE, "pg1")
    cluster.promote("pg2")
    async with asyncio.timeout(PATIENCE_S):
        assert await reader.read(1) == b""


async def test_a_start_in_the_middle_brings_it_to_its_end(
    run: Supervised, cluster: FakeCluster, fourth: Postgres
) -> None:
    """The supervisor is killed when its files are written, and HAProxy has heard of nothing yet."""
    await run.serve()
    workers = run.family.pids
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        await cluster.join(story_of(fourth))
        await run.until(lambda: "server pg4 " in Path(run.paths.config).read_text())
        run.process.kill()
        await run.process.wait()
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    await run.start()
    await becomes(run, READ, "pg4", Health.UP)
    assert run.family.pids == workers
    assert "HAProxy reloaded" not in run.words, run.words


async def test_a_start_after_it_agrees(run: Supervised, cluster: FakeCluster, fourth: Postgres) -> None:
    """HAProxy is killed, and starts from the files; the supervisor is killed, and knows who has left."""
    await run.serve()
    await cluster.join(story_of(fourth))
    await becomes(run, READ, "pg4", Health.UP)
    assert run.family.master is not None
    os.kill(run.family.master, signal.SIGKILL)
    await run.said("HAProxy serves again")
    await becomes(run, READ, "pg4", Health.UP)
    workers = run.family.pids
    await cluster.leave("pg4")
    await rests(run, READ, "pg4", in_maint=True)
    run.process.kill()
    await run.process.wait()
    await run.start()
    await cluster.join(story_of(fourth))
    await becomes(run, READ, "pg4", Health.UP)
    assert run.family.pids == workers


async def test_what_haproxy_does_not_take_is_a_reload(run: Supervised, cluster: FakeCluster, fourth: Postgres) -> None:
    """A person has taken the name for a server that leads elsewhere, with other words."""
    await run.serve()
    await run.runtime.command("add", "server", f"{READ}/pg4", "127.0.0.1:1")
    await run.runtime.command("set", "server", f"{READ}/pg4", "state", "ready")
    await cluster.join(story_of(fourth))
    await run.said("HAProxy reloaded")
    await becomes(run, READ, "pg4", Health.UP)
