"""At start, at reload and after maintenance nobody is sent to a wrong server or turned away, and what is old ends.

Clients connect in loops without a pause, on both ports, from before the port first listens. Two witnesses look for
what went wrong: the client, who asks the server that it got for its address and its role, and HAProxy's own log.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from tests.lab.beside import beside
from tests.lab.reloading import KINDS, Kind, Listening, noticing, reload, strangers, wait_no_old_worker
from tests.lab.role_change import leader_of, until
from tests.lab.session_log import NORMAL_END, logged_sessions
from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.lab.balancer import Balancer
from trunkline.lab.load import READ, WRITTEN, Load, looping_clients, prepare
from trunkline.lab.processes import send, wait_gone

RELOADS = 10
WRITERS, READERS = 6, 6
HELD = 12
LATE = 6
STEADY_S = 1.0
BETWEEN_S = 0.1
RETURNS = 6
MAINTENANCE_S = 0.3
AFTER_MAINTENANCE_S = 0.5
FIRST_TIMEOUT_S = 30
HELD_TIMEOUT_S = 30
OLD_WORKERS_END_S = 8
GONE_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What came of all connections since before the ports listened; `began_at`: where its log begins."""

    balancer: Balancer
    primary: Load
    replicas: Load
    listening: tuple[Listening, Listening]
    began_at: int

    def assert_right(self, leader: str) -> None:
        """Not one session on a wrong server, not one failed connection; `leader`: who was it all the time."""
        hosts = {member.name: member.place.host for member in self.balancer.lab.members.values()}
        replicas = {host for name, host in hosts.items() if name != leader}
        first, second = self.listening
        assert strangers(self.primary, {f"{hosts[leader]} primary"}) == []
        assert strangers(self.replicas, replicas) == []
        assert first.failures(self.primary) == []
        assert second.failures(self.replicas) == []
        assert self.primary.of(WRITTEN)
        assert self.replicas.of(WRITTEN)
        assert logged_sessions(self.balancer, self.began_at).keys() == {
            ("postgres_primary", leader, NORMAL_END),
            *(("postgres_replicas", name, NORMAL_END) for name in hosts if name != leader),
        }

    def __str__(self) -> str:
        return f"{len(self.primary.attempts)} connections on the primary, {len(self.replicas.attempts)} on the replicas"


@asynccontextmanager
async def traffic(balancer: Balancer) -> AsyncIterator[Traffic]:
    """Connections as fast as they go, on both ports."""
    began_at = balancer.log.stat().st_size
    with noticing(balancer.address("primary")) as first, noticing(balancer.address("replicas")) as second:
        async with (
            looping_clients(balancer.conninfo(), WRITERS, statement=READ) as primary,
            looping_clients(balancer.conninfo("replicas"), READERS, statement=READ) as replicas,
        ):
            yield Traffic(
                balancer=balancer, primary=primary, replicas=replicas, listening=(first, second), began_at=began_at
            )


async def served_on_both(it: Traffic) -> None:
    await until(lambda: bool(it.primary.of(WRITTEN) and it.replicas.of(WRITTEN)), timeout_s=FIRST_TIMEOUT_S)
    await asyncio.sleep(STEADY_S)


@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_from_the_first_moment_through_ten_reloads(
    kind: Kind, balancer: Balancer, measured: Callable[[str], None]
) -> None:
    leader = leader_of(balancer.lab)
    balancer.stop()
    async with traffic(balancer) as it:
        await asyncio.to_thread(balancer.start)
        await served_on_both(it)
        for _ in range(RELOADS):
            await reload(balancer, kind)
            await asyncio.sleep(BETWEEN_S)
        await asyncio.sleep(STEADY_S)
    measured(str(it))
    it.assert_right(leader)
    took_s = await wait_no_old_worker(balancer, timeout_s=OLD_WORKERS_END_S)
    measured(f"the last old worker was gone {took_s:.2f} s after the last client")


async def test_after_a_power_cut_yesterday_s_primary_is_not_believed(
    balancer: Balancer, measured: Callable[[str], None]
) -> None:
    """Everything of the balancer is killed, the leader changes, and it starts again from what is on disk."""
    lab = balancer.lab
    old = leader_of(lab)
    victims = balancer.processes()
    send(victims, signal.SIGKILL)
    assert wait_gone(victims, timeout_s=GONE_TIMEOUT_S) == []
    assert operational_states(balancer) == {"0"}
    await asyncio.to_thread(lab.switchover)
    leader = await asyncio.to_thread(lab.wait_healthy)
    assert leader != old
    async with traffic(balancer) as it:
        await asyncio.to_thread(balancer.start)
        await served_on_both(it)
    measured(str(it))
    it.assert_right(leader)


def operational_states(balancer: Balancer) -> set[str]:
    """What the state file on disk says of the servers; "0" is DOWN (HAProxy's manual, "show servers state")."""
    _version, _columns, *servers = (balancer.directory / "haproxy.state").read_text().splitlines()
    return {server.split()[5] for server in servers}


async def test_who_returns_from_maintenance_gets_nobody_before_it_was_asked(
    balancer: Balancer, measured: Callable[[str], None]
) -> None:
    """An operator's bare `state ready` makes HAProxy count a server as up until its next check, about 100 ms later.

    One thread: with several, the command may fall between another thread's look at the servers and its choice of one,
    microseconds later.
    """
    leader = leader_of(balancer.lab)
    replica = next(name for name in balancer.lab.members if name != leader)
    wrong = (f"postgres_primary/{replica}", f"postgres_replicas/{leader}")
    with beside(balancer, haproxy={"threads": 1}) as single:
        await asyncio.to_thread(single.wait_written)
        async with traffic(single) as it:
            await served_on_both(it)
            for _ in range(RETURNS):
                for state, pause_s in (("maint", MAINTENANCE_S), ("ready", AFTER_MAINTENANCE_S)):
                    for server in wrong:
                        await RuntimeSocket(single.admin_socket).command("set", "server", server, "state", state)
                    await asyncio.sleep(pause_s)
    measured(f"{it}, longest wait {max(it.primary.longest_wait_s, it.replicas.longest_wait_s):.2f} s")
    it.assert_right(leader)


async def test_clients_held_across_reloads_are_served_and_old_workers_end(
    balancer: Balancer, measured: Callable[[str], None]
) -> None:
    """One reload of each kind in the middle of one hold: each time some wait in the worker that is left behind, and
    more come to the one that takes over."""
    lab = balancer.lab
    old = leader_of(lab)
    await prepare(balancer.conninfo())
    async with AsyncExitStack() as stack:
        loads: list[Load] = []

        async def come(clients: int) -> None:
            loads.append(await stack.enter_async_context(looping_clients(balancer.conninfo(), clients)))

        await come(HELD)
        await asyncio.to_thread(lab.kill_node, old)
        await until_held(balancer, HELD)
        known = len(loads[0].attempts)
        for number, kind in enumerate(KINDS, start=1):
            await reload(balancer, kind)
            await come(LATE)
            await until_held(balancer, HELD + number * LATE)
        assert len(loads[0].attempts) == known
        new, writable = await asyncio.to_thread(lab.wait_writable_direct)
        await until(lambda: len(loads[0].attempts) >= known + HELD, timeout_s=HELD_TIMEOUT_S)
        await until(lambda: all(len(load.attempts) >= LATE for load in loads), timeout_s=HELD_TIMEOUT_S)
        served_s = time.monotonic() - writable
        took_s = await wait_no_old_worker(balancer, timeout_s=OLD_WORKERS_END_S)
    measured(f"all who were held were served after {served_s:.2f} s, the last old worker was gone {took_s:.2f} s later")
    held = [*loads[0].attempts[known:], *(attempt for load in loads[1:] for attempt in load.attempts)]
    assert [attempt for attempt in held if attempt.outcome != WRITTEN] == []
    assert {attempt.server for attempt in held} == {lab.member(new).place.host}


async def until_held(balancer: Balancer, count: int) -> None:
    """Back when this many clients wait in the worker that listens."""
    async with asyncio.timeout(HELD_TIMEOUT_S):
        while True:
            held = dict((await RuntimeSocket(balancer.admin_socket).view()).held)
            if held.get("postgres_primary", 0) >= count:
                return
            await asyncio.sleep(0.02)
