"""Leases of servers that were added while HAProxy runs. Lua of 2.6 does not see them, and does it over a socket of
HAProxy's own (templates/added.lua); nobody can tell the difference."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from contract_subjects import Postgres, RealSubject
from supervised import free_ports
from test_lease import LEASE_MS, LONG_MS, SHOWN, stick, stuck, unstick, until
from test_lease_in_haproxy import asked_by_who_leaves, clients, complaints, memory_kb, renewing

from trunkline.adapters.master_socket import reload
from trunkline.adapters.runtime_socket import MasterSocket
from trunkline.errors import RuntimeSocketError
from trunkline.lab.binaries import Binary, find_haproxies
from trunkline.model.facts import Sticky, Stuck
from trunkline.model.proxy import Health
from trunkline.testing.fake_cluster import FakeCluster, MemberStory

pytestmark = [
    pytest.mark.haproxy,
    pytest.mark.parametrize(
        "haproxy", find_haproxies(), ids=lambda it: "haproxy-" + ".".join(map(str, it.version[:2]))
    ),
]

PROXY, SERVER = "postgres_replicas", "pg4"
TARGET = f"{PROXY}/{SERVER}"
CHECKED = "check inter 250ms fastinter 100ms downinter 250ms rise 1 fall 3"
STARTUP = b"\0\0\0\x08\0\x03\0\0"
NOBODY = 65_534
CYCLES = 120
GROWTH_LIMIT_KB = 4096


@pytest.fixture
async def subject(
    haproxy: Binary, directory: Path, cluster: FakeCluster, postgres: dict[str, Postgres], fourth: Postgres
) -> AsyncIterator[RealSubject]:
    """One that can be reloaded, with a fourth member that came meanwhile."""
    real = RealSubject(haproxy, directory, cluster, postgres, ports=free_ports(3))
    real.arguments = ("-W", "-S", str(directory / "master.sock"))
    host, port = fourth.address
    async with asyncio.timeout(15):
        await real.start()
        await cluster.join(MemberStory(name=SERVER, host=host, port=port))
        await add(real, fourth)
    yield real
    assert "Lua" not in complaints(real), complaints(real)
    await real.terminate()
    await real.end()


async def add(subject: RealSubject, fourth: Postgres) -> None:
    """Back when its first check was good."""
    place = "{}:{}".format(*fourth.address)
    api = subject.cluster.apis[SERVER].url.rpartition(":")[2]
    await subject.runtime.command(
        "add", "server", TARGET, place, "addr", "127.0.0.1", "port", api, *CHECKED.split(), "maxconn", "92"
    )
    await subject.runtime.command("enable", "health", TARGET)
    await subject.runtime.command("enable", "server", TARGET)
    await subject.runtime.command("trunkline", "added", TARGET, place)
    await becomes(subject, Health.UP)


async def health(subject: RealSubject) -> Health:
    proxy = (await subject.runtime.view()).proxy(PROXY)
    server = proxy.server(SERVER) if proxy else None
    assert server is not None
    return server.health


async def becomes(subject: RealSubject, state: Health) -> None:
    async def is_so() -> bool:
        return await health(subject) is state

    await until(is_so)


async def set_state(subject: RealSubject, state: str) -> None:
    await subject.runtime.command("set", "server", TARGET, "state", state)


def noted(*kinds: Sticky) -> tuple[Stuck, ...]:
    return tuple(Stuck(proxy=PROXY, server=SERVER, what=what) for what in kinds)


@pytest.mark.parametrize("what", Sticky)
async def test_set_and_undone(subject: RealSubject, what: Sticky) -> None:
    with pytest.raises(RuntimeSocketError, match="there is no lease"):
        await stick(subject, what, TARGET)
    await subject.runtime.renew(LONG_MS)
    for _ in range(2):  # again is the same
        await stick(subject, what, TARGET)
        assert await health(subject) is SHOWN[what]
        assert (await subject.runtime.renew(LONG_MS)).stuck == noted(what)
    await unstick(subject, what, TARGET)
    assert await health(subject) is not SHOWN[what]
    assert await stuck(subject) == ()
    with pytest.raises(RuntimeSocketError, match=f"{TARGET} has no lease of {what}"):
        await unstick(subject, what, TARGET)
    await becomes(subject, Health.UP)


@pytest.mark.parametrize("what", Sticky)
async def test_undone_when_nobody_renews(subject: RealSubject, what: Sticky) -> None:
    await subject.runtime.renew(LEASE_MS)
    await stick(subject, what, TARGET)
    renewed = time.monotonic()
    await subject.runtime.renew(LEASE_MS)
    await asyncio.sleep(1.2)
    assert await health(subject) is SHOWN[what]
    while await health(subject) is SHOWN[what]:
        await asyncio.sleep(0.01)
        assert time.monotonic() - renewed < 2.0
    assert await stuck(subject) == ()
    await becomes(subject, Health.UP)


async def test_a_lease_that_is_given_back_is_undone_with_the_answer(subject: RealSubject) -> None:
    await subject.runtime.renew(LONG_MS)
    await stick(subject, Sticky.DRAIN, TARGET)
    await stick(subject, Sticky.CHECKS, "postgres_primary/pg1")
    assert (await subject.runtime.renew(0)).stuck == ()
    assert await health(subject) is Health.UP


async def test_suspended_checks_keep_it_up_and_then_haproxys_own_take_it_down(subject: RealSubject) -> None:
    async with renewing(subject):
        await stick(subject, Sticky.CHECKS, TARGET)
        subject.cluster.stories[SERVER].is_alive = False
        await asyncio.sleep(1.5)
        assert await health(subject) is Health.NO_CHECK
    ended = time.monotonic()
    await becomes(subject, Health.DOWN)
    assert time.monotonic() - ended < 3.0


async def test_out_of_maint_it_is_down_until_it_was_checked(subject: RealSubject) -> None:
    await subject.runtime.renew(LONG_MS)
    subject.cluster.apis[SERVER].fall_silent()
    await stick(subject, Sticky.MAINT, TARGET)
    await unstick(subject, Sticky.MAINT, TARGET)
    assert await health(subject) is Health.DOWN
    subject.cluster.apis[SERVER].speak()
    await becomes(subject, Health.UP)


async def test_what_a_person_sets_is_left_alone(subject: RealSubject) -> None:
    await set_state(subject, "drain")
    await subject.runtime.renew(LEASE_MS)
    with pytest.raises(RuntimeSocketError, match=f"{TARGET} was set to drain by hand"):
        await stick(subject, Sticky.DRAIN, TARGET)
    await set_state(subject, "ready")
    await stick(subject, Sticky.DRAIN, TARGET)
    await set_state(subject, "maint")

    async def is_forgotten() -> bool:
        return not await stuck(subject)

    await until(is_forgotten)
    await asyncio.sleep(LEASE_MS / 1000)
    assert await health(subject) is Health.MAINT
    await set_state(subject, "ready")
    await subject.runtime.command("disable", "health", TARGET)
    await subject.runtime.renew(LEASE_MS)
    with pytest.raises(RuntimeSocketError, match=f"the checks of {TARGET} were suspended by hand"):
        await stick(subject, Sticky.CHECKS, TARGET)


async def test_closed_gently(subject: RealSubject, fourth: Postgres) -> None:
    await set_others(subject, "maint")
    reader, writer = await asyncio.open_connection("127.0.0.1", subject.ports[1])
    writer.write(STARTUP)
    async with asyncio.timeout(10):
        await fourth.clients.get()
    await subject.runtime.command("trunkline", "close", TARGET)
    assert await health(subject) in (Health.DRAIN, Health.DOWN)
    await becomes(subject, Health.UP)  # its next check says so
    assert len(await subject.runtime.sessions()) == 1, "sessions of replicas stay"
    assert await stuck(subject) == ()
    writer.close()
    await set_others(subject, "ready")
    assert reader is not None


async def set_others(subject: RealSubject, state: str) -> None:
    for name in ("pg1", "pg2", "pg3"):
        await subject.runtime.command("set", "server", f"{PROXY}/{name}", "state", state)


async def test_undone_as_soon_as_haproxy_takes_commands_again(subject: RealSubject) -> None:
    """It takes a few dozen connections for commands, ours included, and idle ones for `stats timeout`."""
    await subject.runtime.renew(LEASE_MS)
    await stick(subject, Sticky.DRAIN, TARGET)
    idle = [await asyncio.open_unix_connection(subject.runtime.path) for _ in range(40)]
    await asyncio.sleep(LEASE_MS / 1000 + 2.5)
    for _, writer in idle:
        writer.close()
    opened = time.monotonic()
    while True:
        with suppress(RuntimeSocketError):  # until the last of them has been closed
            if await health(subject) is Health.UP:
                break
        await asyncio.sleep(0.01)
    assert time.monotonic() - opened < 2.0
    assert await stuck(subject) == ()


async def test_one_that_does_not_exist_or_exists_no_more(subject: RealSubject) -> None:
    await subject.runtime.renew(LONG_MS)
    with pytest.raises(RuntimeSocketError, match=f"there is no server {PROXY}/pg5"):
        await stick(subject, Sticky.DRAIN, f"{PROXY}/pg5")
    with pytest.raises(RuntimeSocketError, match="there is no server"):
        await stick(subject, Sticky.DRAIN, "nobody/pg4")
    await stick(subject, Sticky.MAINT, TARGET)
    await subject.runtime.command("del", "server", TARGET)

    async def is_forgotten() -> bool:
        return not await stuck(subject)

    await until(is_forgotten)


async def test_who_asks_may_be_gone_at_any_moment(subject: RealSubject) -> None:
    await asked_by_who_leaves(subject, TARGET)
    await becomes(subject, Health.UP)
    assert await stuck(subject) == ()


@pytest.mark.parametrize("what", Sticky)
async def test_undone_by_a_haproxy_that_hardly_comes_to_it(subject: RealSubject, what: Sticky) -> None:
    subject.pid = (await subject.runtime.renew(LEASE_MS)).pid
    await stick(subject, what, TARGET)
    async with clients(subject.ports[1]):
        for _ in range(15):
            subject.freeze()
            await asyncio.sleep(0.15)
            subject.thaw()
            await asyncio.sleep(0.01)
        async with asyncio.timeout(3):
            await becomes(subject, Health.UP)
    assert await stuck(subject) == ()


async def test_hundreds_of_changes_under_load_do_no_harm(subject: RealSubject) -> None:
    kinds = list(Sticky)
    async with renewing(subject), clients(subject.ports[1]) as faults:
        before, pid = 0, (await subject.runtime.lease()).pid
        for number in range(CYCLES):
            what = kinds[number % 3]
            await stick(subject, what, TARGET)
            if number % 10 == 0:
                await subject.runtime.renew(0)
                await subject.runtime.renew(LEASE_MS)
            else:
                await unstick(subject, what, TARGET)
            if number == CYCLES // 4:
                before = memory_kb(pid)
        assert memory_kb(pid) - before < GROWTH_LIMIT_KB
        assert await stuck(subject) == ()
    assert faults == []
    await becomes(subject, Health.UP)


async def test_a_worker_that_was_left_behind_touches_nothing_of_the_next(
    subject: RealSubject, fourth: Postgres
) -> None:
    """The path of its socket leads to the next worker, where a person has drained a server of that name."""
    writers = await clients_that_stay(subject)
    old = (await subject.runtime.renew(1000)).pid
    await stick(subject, Sticky.DRAIN, TARGET)
    socket = MasterSocket(subject.directory / "master.sock")
    await reload(socket)
    await add(subject, fourth)
    await set_state(subject, "drain")

    async def is_over() -> bool:
        return "stuck" not in await socket.command(f"@!{old}", "trunkline", "stuck")

    await until(is_over)
    assert await health(subject) is Health.DRAIN
    await set_state(subject, "ready")
    await becomes(subject, Health.UP)
    await socket.command(f"@!{old}", "trunkline", "lease", "500")
    await socket.command(f"@!{old}", "trunkline", "stick", TARGET, "maint")
    await socket.command(f"@!{old}", "trunkline", "close", TARGET)
    for _ in range(100):
        assert await health(subject) is Health.UP
        await asyncio.sleep(0.01)
    assert await stuck(subject) == ()
    await subject.runtime.renew(LEASE_MS)  # the next worker has that socket now
    await stick(subject, Sticky.DRAIN, TARGET)
    assert await health(subject) is Health.DRAIN
    await becomes(subject, Health.UP)
    assert f"pid {old}\nstopping 1" in await socket.command(f"@!{old}", "trunkline", "stuck")
    for writer in writers:
        writer.close()


async def clients_that_stay(subject: RealSubject) -> list[asyncio.StreamWriter]:
    writers = []
    for _ in range(3):
        _, writer = await asyncio.open_connection("127.0.0.1", subject.ports[1])
        writer.write(STARTUP)
        writers.append(writer)
    await asyncio.sleep(0.2)
    return writers


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_from_inside_a_chroot_as_nobody(
    haproxy: Binary, directory: Path, cluster: FakeCluster, postgres: dict[str, Postgres], fourth: Postgres
) -> None:
    """As Debian's service runs it. The admin socket is out of reach there."""
    jail = directory / "jail"
    jail.mkdir(mode=0o755)
    real = RealSubject(haproxy, directory, cluster, postgres, ports=free_ports(3))
    real.settings = {"haproxy": {"user": "nobody", "chroot": str(jail)}}
    try:
        async with asyncio.timeout(15):
            await real.start()
            await cluster.join(MemberStory(name=SERVER, host=fourth.address[0], port=fourth.address[1]))
            await add(real, fourth)
        for path in jail.glob("*.sock"):
            assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (NOBODY, 0o600)
        await real.runtime.renew(LEASE_MS)
        await stick(real, Sticky.DRAIN, TARGET)
        assert await health(real) is Health.DRAIN
        await becomes(real, Health.UP)
    finally:
        await real.end()
