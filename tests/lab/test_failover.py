"""A role change through the balancer: nobody is sent to the wrong member, nobody who can be served is not.

Each fault is done to the leader while twelve clients connect, insert and close in loops; `role_change` says which of
their failures are counted apart, and why. `--rounds` repeats each fault in a row.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

import psycopg
import pytest

from tests.lab.role_change import CLIENTS, RoleChange, leader_of, play, until
from trunkline.lab.balancer import Balancer
from trunkline.lab.faults import FAULTS, Fault
from trunkline.lab.load import CLOSED, READ, READ_ONLY, STARTING_OR_STOPPING, WRITTEN, Load, looping_clients
from trunkline.lab.member import Member
from trunkline.lab.patroni_config import TTL_S

MAX_LAG_S = 0.3
MAX_SHUTDOWN_S = 0.5
# Half a second by the clock of the checks, on a machine that is busy with other things.
MAX_NOTICE_S = 1.5
ANSWER_TIMEOUT_S = 5
RETURN_TIMEOUT_S = 60
# PostgreSQL acts on the request and logs it in the same moment; a busy machine lets the line come a little later.
LOG_IS_LATE_S = 0.1

Connection = psycopg.AsyncConnection[tuple[object, ...]]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_clients_live_through(
    fault: Fault, balancer: Balancer, rounds: int, measured: Callable[[str], None]
) -> None:
    """Per fault: no statement on a read-only server, little lag, every connection of the gap served, sessions of the
    old primary ended, those of other replicas alive; and the member that comes back serves reads, never writes."""
    for _ in range(rounds):
        async with sessions(balancer) as (idle, reading):
            change = await play(balancer, fault)
            measured(str(change))
            assert_kept(change)
            assert not await lives(idle), "a session of the old primary has survived it"
            staying = {host: held for host, held in reading.items() if host != change.new}
            assert staying
            assert [host for host, held in staying.items() if not await lives(held)] == []
        if change.new != change.old:
            await assert_comes_back(balancer, change)
        await asyncio.to_thread(balancer.lab.heal)


def assert_kept(change: RoleChange) -> None:
    assert change.load.of(READ_ONLY) == []
    assert change.unserved == []
    assert len(change.in_flight) <= CLIENTS
    assert {attempt.outcome for attempt in change.stopping} <= {STARTING_OR_STOPPING, CLOSED}
    if change.fault.is_silent:
        assert len(change.stopping) <= CLIENTS
        assert change.closed - change.struck <= TTL_S / 2
    else:
        assert change.closed - change.struck <= MAX_SHUTDOWN_S
        assert change.noticed - change.struck <= MAX_NOTICE_S
    assert change.lag_s <= MAX_LAG_S
    assert {a.server for a in change.load.of(WRITTEN) if a.began > change.writable} == {change.new}


@asynccontextmanager
async def sessions(balancer: Balancer) -> AsyncIterator[tuple[Connection, dict[str, Connection]]]:
    """An idle one on the primary, and one on each replica by its address, all through the balancer."""
    replicas = len(balancer.lab.members) - 1
    async with AsyncExitStack() as stack:

        async def connect(service: str) -> tuple[str, Connection]:
            connection = await psycopg.AsyncConnection.connect(balancer.conninfo(service), autocommit=True)
            await stack.enter_async_context(connection)
            row = await (await connection.execute(READ)).fetchone()
            return str(row and row[0]), connection

        primary, idle = await connect("primary")
        assert primary.endswith(" primary")
        reading: dict[str, Connection] = {}
        async with asyncio.timeout(RETURN_TIMEOUT_S):
            while len(reading) < replicas:  # leastconn gives each its share, as soon as it is checked
                reading |= dict([await connect("replicas")])
        yield idle, reading


async def lives(connection: Connection) -> bool:
    """Whether a session still answers; one that hangs is not ended, which is an error of its own (TimeoutError)."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await connection.execute("select 1")
    except psycopg.OperationalError:
        return False
    return True


async def assert_comes_back(balancer: Balancer, change: RoleChange) -> None:
    """The old primary returns under load: as a replica, and only as that. Patroni may start it, find that it must be
    rewound and stop it again: what PostgreSQL does to sessions while it stops is its own, as its log says."""
    lab = balancer.lab
    old = next(member for member in lab.members.values() if member.place.host == change.old)
    began_at = time.time()
    async with (
        looping_clients(balancer.conninfo(), 4, pause_s=0.05) as writes,
        looping_clients(balancer.conninfo("replicas"), 4, statement=READ, pause_s=0.05) as reads,
    ):
        await asyncio.to_thread(lab.start_node, old.name)
        await until(lambda: any(it.server == change.old for it in reads.of(WRITTEN)), timeout_s=RETURN_TIMEOUT_S)
        await asyncio.sleep(1)
    stops = [stop_s for stop_s in stops_of(old) if stop_s >= began_at]
    assert_all_by(writes, {change.new})
    assert_all_by(reads, {place.host for place in lab.layout.members} - {change.new}, stops=stops)
    assert leader_of(lab) != old.name


def stops_of(member: Member) -> list[float]:
    """When its PostgreSQL was asked to shut down, in seconds since the epoch, as its log says."""
    text = (member.place.directory / "postgresql.log").read_text(errors="replace")
    return [
        datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()
        for moment in re.findall(r"^(\S+ \S+) UTC .*received \w+ shutdown request", text, re.MULTILINE)
    ]


def assert_all_by(load: Load, servers: set[str], *, stops: Sequence[float] = ()) -> None:
    """Every attempt was served, but for those that a server has stopped under, and by nobody else."""
    to_epoch_s = time.time() - time.monotonic()
    unexplained = [
        it
        for it in load.failures
        if it.outcome == READ_ONLY
        or not any(
            it.ended + to_epoch_s >= stop - LOG_IS_LATE_S and it.began + to_epoch_s <= stop + MAX_SHUTDOWN_S
            for stop in stops
        )
    ]
    assert unexplained == []
    assert {attempt.server for attempt in load.attempts if attempt.server} <= servers
