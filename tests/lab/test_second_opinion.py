"""Silence of one source cuts nobody off: Patroni jammed, stopped or killed, etcd stopped, each for less than the ttl.

And when it lasts longer than the ttl, the old primary serves for as long as it holds the leader key, and takes no write
once another takes them.
"""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import psycopg

from tests.lab.role_change import CLIENTS, GAP_TIMEOUT_S, PAUSE_S, leader_of, until
from tests.lab.test_frozen_patroni import one_session_that_writes
from trunkline.adapters.etcd import EtcdClient
from trunkline.config.settings import EtcdSettings
from trunkline.lab import Lab
from trunkline.lab.balancer import Balancer
from trunkline.lab.etcd import NAME as ETCD
from trunkline.lab.layout import SCOPE
from trunkline.lab.load import INSERT, READ, READ_ONLY, WRITTEN, Load, looping_clients, prepare, watching
from trunkline.lab.processes import send

SILENCE_S = 12.0
"""Longer than HAProxy's checks alone wait, shorter than the ttl."""

JAMMED_S = 60.0
"""Patroni goes on under a jammed API, so its leader key stands for as long as that lasts."""

MAX_OUTAGE_BESIDES_PROMOTION_S = 2.0
"""The fence comes 0.3 s before the key's lease ends, and up to 0.5 s later etcd, which looks at leases twice a second,
deletes the key; the rest is for a busy machine (0.9 s seen). Checks alone cost most of the ttl. What it comes to on a
machine with nothing else to do: docs/benchmarks.md, fence."""

SERVED_TIMEOUT_S = 10
RETURN_TIMEOUT_S = 60
KEY_POLL_S = 0.02
SILENT_CONNECTIONS = 24


@asynccontextmanager
async def nobody_is_cut_off(balancer: Balancer) -> AsyncIterator[Load]:
    """Twelve clients connect, write and close in loops, and four idle sessions stay."""
    await prepare(balancer.conninfo())
    idle = [await psycopg.AsyncConnection.connect(balancer.conninfo(), autocommit=True) for _ in range(4)]
    try:
        async with looping_clients(balancer.conninfo(), CLIENTS, statement=INSERT, pause_s=PAUSE_S) as load:
            yield load
        assert load.failures == []
        assert load.of(WRITTEN)
        assert load.longest_wait_s < 1.0
        for session in idle:
            await session.execute(READ)
    finally:
        for session in idle:
            await session.close()


async def test_patroni_stopped_for_less_than_its_ttl(steered: Balancer) -> None:
    lab = steered.lab
    leader = leader_of(lab)
    async with nobody_is_cut_off(steered):
        await asyncio.to_thread(lab.freeze_patroni, leader)
        try:
            await asyncio.sleep(SILENCE_S)
        finally:
            await asyncio.to_thread(lab.thaw_patroni, leader)
        await asyncio.sleep(2)
    assert leader_of(lab) == leader


async def test_patroni_killed_and_started_again(steered: Balancer) -> None:
    lab = steered.lab
    leader = leader_of(lab)
    async with nobody_is_cut_off(steered):
        await asyncio.to_thread(lab.kill_patroni, leader)
        await asyncio.sleep(SILENCE_S / 2)
        await asyncio.to_thread(lab.start_node, leader)
        await asyncio.to_thread(lab.wait_healthy, timeout_s=RETURN_TIMEOUT_S)
        await asyncio.sleep(2)
    assert leader_of(lab) == leader


async def test_an_api_that_is_jammed(steered: Balancer) -> None:
    """Silent connections take all of its threads, and then all of its listen queue."""
    lab = steered.lab
    leader = leader_of(lab)
    async with nobody_is_cut_off(steered):
        with silent_connections(lab, leader):
            await asyncio.sleep(JAMMED_S)
        await asyncio.sleep(2)
    assert leader_of(lab) == leader


async def test_etcd_stopped_for_less_than_the_ttl(steered: Balancer) -> None:
    """Patroni itself goes on for as long as its members reach each other (failsafe_mode)."""
    lab = steered.lab
    leader = leader_of(lab)
    etcd = lab.processes.alive(ETCD)
    assert etcd is not None
    async with nobody_is_cut_off(steered):
        send([etcd], signal.SIGSTOP)
        try:
            await asyncio.sleep(SILENCE_S)
        finally:
            send([etcd], signal.SIGCONT)
        await asyncio.sleep(2)
    assert leader_of(lab) == leader


@contextmanager
def silent_connections(lab: Lab, name: str) -> Iterator[None]:
    """Connections to a member's API that never say a word."""
    place = lab.member(name).place
    clients = []
    try:
        for _ in range(SILENT_CONNECTIONS):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex((place.host, place.api_port))
            clients.append(client)
        yield
    finally:
        for client in clients:
            client.close()


async def test_patroni_stopped_for_longer_than_its_ttl(
    steered: Balancer, rounds: int, measured: Callable[[str], None]
) -> None:
    """The old primary serves as long as the leader key is its own; the fence is done before another takes writes."""
    for _ in range(rounds):
        await one_long_silence(steered, measured)


async def one_long_silence(balancer: Balancer, measured: Callable[[str], None]) -> None:
    lab = balancer.lab
    old = lab.member(leader_of(lab))
    others = [member for member in lab.members.values() if member is not old]
    await prepare(balancer.conninfo())
    async with (
        watching([(member.place.host, member.conninfo()) for member in others]) as witness,
        one_session_that_writes(balancer) as writes,
        looping_clients(balancer.conninfo(), CLIENTS, pause_s=PAUSE_S) as load,
        asyncio.TaskGroup() as watch,
    ):
        loss = watch.create_task(moment_lost(lab, old.name))
        frozen = time.monotonic()
        await asyncio.to_thread(lab.freeze_patroni, old.name)
        new, promoted = await witness.first_writable(but=old.place.host, after=frozen, deadline_s=GAP_TIMEOUT_S)
        await until(lambda: load.first_served_by(new, after=frozen) is not None, timeout_s=SERVED_TIMEOUT_S)
        assert await asyncio.to_thread(old.is_writable)
        await asyncio.sleep(1)
        await asyncio.to_thread(lab.thaw_patroni, old.name)
        await asyncio.to_thread(lab.wait_healthy, timeout_s=RETURN_TIMEOUT_S)
    first, lost = load.first_served_by(new, after=frozen), loss.result()
    last = max([attempt.ended for attempt in load.of(WRITTEN) if attempt.server == old.place.host] + writes)
    assert first is not None
    promotion_s, outage_s = promoted - lost, first.ended - last
    measured(
        f"promoted after {promoted - frozen:.2f} s, fence {(promoted - last) * 1000:.0f} ms before that and "
        f"{(lost - last) * 1000:.0f} ms before the key was gone, outage {outage_s:.2f} s, of it promotion "
        f"{promotion_s:.2f} s, served {(first.ended - promoted) * 1000:.0f} ms after it, {len(load.failures)} failed"
    )
    assert last < promoted
    assert outage_s - promotion_s < MAX_OUTAGE_BESIDES_PROMOTION_S
    assert load.of(READ_ONLY) == []
    assert {attempt.server for attempt in load.of(WRITTEN) if attempt.began > promoted} == {new}
    assert leader_of(lab) != old.name
    await asyncio.to_thread(lab.heal)


async def moment_lost(lab: Lab, holder: str) -> float:
    """When the store has no leader key of this member any more: only then can a promotion begin."""
    async with EtcdClient(EtcdSettings(hosts=(lab.layout.etcd_url,)), timeout_s=GAP_TIMEOUT_S) as etcd:
        while True:
            entry = (await etcd.read(f"/service/{SCOPE}/leader")).entry
            if entry is None or entry.value != holder:
                return time.monotonic()
            await asyncio.sleep(KEY_POLL_S)
