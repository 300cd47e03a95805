"""Leases where only a real HAProxy can show them: its checks, sessions and reloads, and that it comes to no harm."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from contract_subjects import Postgres, RealSubject
from supervised import free_ports
from test_lease import LEASE_MS, LONG_MS, PROXY, SERVER, TARGET, health, noted, stick, stuck, undone, unstick, until

from trunkline.adapters.master_socket import reload
from trunkline.adapters.runtime_socket import MasterSocket
from trunkline.errors import RuntimeSocketError
from trunkline.lab.binaries import Binary, find_haproxies
from trunkline.model.facts import Sticky
from trunkline.model.proxy import Health
from trunkline.testing.fake_cluster import FakeCluster

pytestmark = [
    pytest.mark.haproxy,
    pytest.mark.parametrize(
        "haproxy", find_haproxies(), ids=lambda it: "haproxy-" + ".".join(map(str, it.version[:2]))
    ),
]

STARTUP = b"\0\0\0\x08\0\x03\0\0"
REPLICA = "postgres_replicas/pg2"
CYCLES = 200
CLIENTS = 6
GROWTH_LIMIT_KB = 4096


@pytest.fixture
async def subject(
    haproxy: Binary, directory: Path, cluster: FakeCluster, postgres: dict[str, Postgres]
) -> AsyncIterator[RealSubject]:
    real = RealSubject(haproxy, directory, cluster, postgres, ports=free_ports(3))
    async with asyncio.timeout(15):
        await real.start()
    yield real
    assert "Lua" not in complaints(real), complaints(real)
    await real.end()


@pytest.fixture
async def master(
    haproxy: Binary, directory: Path, cluster: FakeCluster, postgres: dict[str, Postgres]
) -> AsyncIterator[RealSubject]:
    """One that can be reloaded."""
    real = RealSubject(haproxy, directory, cluster, postgres, ports=free_ports(3))
    real.arguments = ("-W", "-S", str(directory / "master.sock"))
    async with asyncio.timeout(15):
        await real.start()
    yield real
    await real.terminate()
    await real.end()


def complaints(subject: RealSubject) -> str:
    """What HAProxy has said of our Lua, without that servers were changed by it."""
    log = (subject.directory / "haproxy.log").read_text()
    return "\n".join(line for line in log.splitlines() if "changed from Lua" not in line)


@asynccontextmanager
async def renewing(subject: RealSubject) -> AsyncIterator[None]:
    """As an agent that lives."""

    async def go_on() -> None:
        while True:
            await subject.runtime.renew(LEASE_MS)
            await asyncio.sleep(0.3)

    await subject.runtime.renew(LEASE_MS)
    task = asyncio.create_task(go_on())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@asynccontextmanager
async def clients(port: int, count: int = CLIENTS) -> AsyncIterator[list[str]]:
    """Clients that come and go all the time; what went wrong for them."""
    faults: list[str] = []

    async def come_and_go() -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(STARTUP)
                await asyncio.sleep(0.01)
                writer.close()
                await writer.wait_closed()
            except OSError as error:
                faults.append(str(error))

    tasks = [asyncio.create_task(come_and_go()) for _ in range(count)]
    yield faults
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def is_in(subject: RealSubject, state: Health, name: str = SERVER) -> None:
    async def is_so() -> bool:
        return await health(subject, name) is state

    await until(is_so)


async def say(subject: RealSubject, line: str) -> None:
    """Say it and leave, without waiting for the answer."""
    with suppress(OSError):
        _, writer = await asyncio.open_unix_connection(subject.runtime.path)
        writer.write(f"{line}\n".encode())
        writer.close()
        await writer.wait_closed()


async def test_suspended_checks_keep_a_server_up_and_then_haproxys_own_take_it_down(subject: RealSubject) -> None:
    await subject.connect()
    async with renewing(subject):
        await stick(subject, Sticky.CHECKS)
        subject.cluster.leader = None
        await asyncio.sleep(1.5)
        assert await health(subject) is Health.NO_CHECK
        assert len(await subject.runtime.sessions()) == 1
        await subject.connect()
    async with asyncio.timeout(3):
        await is_in(subject, Health.DOWN)
    assert await subject.runtime.sessions() == ()


async def test_a_check_under_way_cannot_end_what_is_suspended(subject: RealSubject) -> None:
    await subject.connect()
    await subject.runtime.renew(LONG_MS)
    while not await the_last_check_is_under_way(subject):
        subject.cluster.apis[SERVER].speak()
        subject.cluster.leader = SERVER
        await is_in(subject, Health.UP)
        if not await subject.runtime.sessions():
            await subject.connect()
    await stick(subject, Sticky.CHECKS)
    subject.cluster.apis[SERVER].speak()
    await asyncio.sleep(0.3)
    assert await health(subject) is Health.NO_CHECK
    assert len(await subject.runtime.sessions()) == 1


async def the_last_check_is_under_way(subject: RealSubject) -> bool:
    """Whether two bad answers have been given, and the third is asked for and not yet given."""
    api = subject.cluster.apis[SERVER]
    subject.cluster.leader = None
    status = ""
    while status != "UP 1/3" and not status.startswith("DOWN"):
        status = await status_line(subject)
    api.fall_silent()
    asked = api.requests.count("/primary")
    for _ in range(30):  # at the latest 100 ms later
        if api.requests.count("/primary") > asked:
            break
        await asyncio.sleep(0.01)
    return await status_line(subject) == "UP 1/3"


async def status_line(subject: RealSubject) -> str:
    stat = await subject.runtime.command("show", "stat")
    row = next(line for line in stat.splitlines() if line.startswith(f"{PROXY},{SERVER},"))
    return row.split(",")[17]


async def test_out_of_maint_a_server_is_down_until_it_was_checked(subject: RealSubject) -> None:
    """The API is silent, so that no check comes between."""
    await subject.runtime.renew(LONG_MS)
    subject.cluster.apis[SERVER].fall_silent()
    await stick(subject, Sticky.MAINT)
    await unstick(subject, Sticky.MAINT)
    assert await health(subject) is Health.DOWN
    subject.cluster.apis[SERVER].speak()
    await is_in(subject, Health.UP)


async def test_out_of_maint_nobody_is_sent_to_a_server_whose_check_would_fail(subject: RealSubject) -> None:
    subject.cluster.leader = None
    await is_in(subject, Health.DOWN)
    async with clients(subject.ports[0]) as faults:
        for number in range(15):
            await subject.runtime.renew(LONG_MS)
            await stick(subject, Sticky.MAINT)
            if number % 5:
                await unstick(subject, Sticky.MAINT)
            else:
                await subject.runtime.renew(0)
            await asyncio.sleep(0.1)
    assert faults == []
    assert subject.postgres[SERVER].clients.empty()


@pytest.mark.parametrize("what", Sticky)
async def test_undone_by_a_haproxy_that_hardly_comes_to_it(subject: RealSubject, what: Sticky) -> None:
    """Stopped again and again, for longer than the task sleeps: a wake-up that is lost would be the last."""
    await subject.runtime.renew(LEASE_MS)
    await stick(subject, what)
    async with clients(subject.ports[1]):
        for _ in range(15):
            subject.freeze()
            await asyncio.sleep(0.15)
            subject.thaw()
            await asyncio.sleep(0.01)
        async with asyncio.timeout(3):
            await undone(subject, what)
        await subject.runtime.renew(LONG_MS)
        await stick(subject, Sticky.DRAIN, REPLICA)
        await subject.runtime.renew(200)

        async def is_over() -> bool:
            return not await stuck(subject)

        await until(is_over)


async def asked_by_who_leaves(subject: RealSubject, target: str) -> None:
    """Commands whose clients wait for no answer; back when the lease has ended."""
    await subject.runtime.renew(LEASE_MS)
    kinds = list(Sticky)
    for number in range(60):
        what = kinds[number // 2 % 3]
        await say(subject, f"trunkline {'unstick' if number % 2 else 'stick'} {target} {what}")
    await asyncio.sleep(LEASE_MS / 1000)


async def test_who_asks_may_be_gone_at_any_moment(subject: RealSubject) -> None:
    await asked_by_who_leaves(subject, TARGET)
    await is_in(subject, Health.UP)
    assert await stuck(subject) == ()


async def test_hundreds_of_changes_under_load_do_no_harm(subject: RealSubject) -> None:
    kinds = list(Sticky)
    async with renewing(subject), clients(subject.ports[1]) as faults:
        before = 0
        for number in range(CYCLES):
            what = kinds[number % 3]
            await stick(subject, what, REPLICA)
            if number % 10 == 0:
                await subject.runtime.renew(0)
                await subject.runtime.renew(LEASE_MS)
            else:
                await unstick(subject, what, REPLICA)
            if number == CYCLES // 4:
                before = memory_kb(subject.pid)
        assert memory_kb(subject.pid) - before < GROWTH_LIMIT_KB
        assert await stuck(subject) == ()
    assert faults == []

    async def serves() -> bool:
        proxy = (await subject.runtime.view()).proxy("postgres_replicas")
        return proxy is not None and all(it.takes_sessions for it in proxy.servers if it.name in ("pg2", "pg3"))

    await until(serves)


def memory_kb(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


async def test_servers_that_a_person_has_added(subject: RealSubject) -> None:
    host, port = subject.postgres["pg2"].address
    target = f"{PROXY}/pg4"
    await subject.runtime.command("add", "server", target, f"{host}:{port}")
    await subject.runtime.command("enable", "server", target)
    await subject.runtime.renew(LONG_MS)
    await stick(subject, Sticky.MAINT, target)
    assert await health(subject, "pg4") is Health.MAINT
    await subject.runtime.command("del", "server", target)

    async def is_forgotten() -> bool:
        return not await stuck(subject)

    await until(is_forgotten)
    await subject.runtime.renew(0)


async def test_a_worker_that_starts_knows_of_nothing(master: RealSubject) -> None:
    await master.connect()
    before = await master.runtime.renew(LONG_MS)
    await stick(master, Sticky.CHECKS)
    await stick(master, Sticky.MAINT, REPLICA)
    await reload(MasterSocket(master.directory / "master.sock"))
    after = await master.runtime.renew(LEASE_MS)
    assert after.pid not in (before.pid, master.pid)
    assert (after.is_stopping, after.stuck) == (False, ())
    await is_in(master, Health.UP)
    await stick(master, Sticky.DRAIN)
    assert await stuck(master) == noted(Sticky.DRAIN)
    await unstick(master, Sticky.DRAIN)
    master.cluster.leader = None
    await is_in(master, Health.DOWN)


async def test_in_a_worker_that_was_left_behind_nothing_is_undone(master: RealSubject) -> None:
    """It checks nobody any more: a server that got sessions again would keep them whatever becomes of it."""
    await master.connect()
    old = (await master.runtime.renew(1000)).pid
    await stick(master, Sticky.DRAIN)
    socket = MasterSocket(master.directory / "master.sock")
    await reload(socket)

    async def ask(*tokens: str) -> str:
        return await socket.command(f"@!{old}", *tokens)

    assert f"stuck {PROXY} {SERVER} drain\npid {old}\nstopping 1" in await ask("trunkline", "stuck")

    async def is_over() -> bool:
        return "stuck" not in await ask("trunkline", "stuck")

    await until(is_over)
    stat = await ask("show", "stat")
    row = next(line for line in stat.splitlines() if line.startswith(f"{PROXY},{SERVER},"))
    assert row.split(",")[17] == "DRAIN"


async def test_closed_gently_and_open_again_with_the_next_good_check(subject: RealSubject) -> None:
    """No new sessions at once, the end of those that it has a moment later, and nothing stays."""
    reader, writer = await asyncio.open_connection("127.0.0.1", subject.ports[0])
    writer.write(STARTUP)
    async with asyncio.timeout(10):
        await subject.postgres[SERVER].clients.get()
    await subject.runtime.command("trunkline", "close", TARGET)
    assert await health(subject) is Health.DRAIN
    async with asyncio.timeout(10):
        assert await reader.read(1) == b""
    writer.close()
    await is_in(subject, Health.UP)
    assert await stuck(subject) == ()


async def test_closed_gently_while_a_person_sets_it_to_maint(subject: RealSubject) -> None:
    await subject.runtime.command("trunkline", "close", TARGET)
    await subject.runtime.command("set", "server", TARGET, "state", "maint")
    await asyncio.sleep(0.3)  # nothing comes, which nobody announces
    assert await health(subject) is Health.MAINT
    with pytest.raises(RuntimeSocketError, match="closed already"):
        await subject.runtime.command("trunkline", "close", TARGET)
