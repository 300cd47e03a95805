"""Clients that connect, write and close in a loop, and a witness of which member takes writes.

What the tests and the benchmark measure with: every attempt is kept, with when it began, how it ended and at which
server. Times are seconds of the monotonic clock.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import errors

WRITTEN = "written"
REFUSED = "refused"
CLOSED = "closed"
READ_ONLY = "25006"
STARTING_OR_STOPPING = "57P03"
TOO_MANY = "53300"
UNANSWERED = "unanswered"

TABLE = "trunkline_load"
PROBE_INTERVAL_S = 0.005
# A server that starts again is asked nearly as often: how late the witness is must not flatter the balancer.
RECONNECT_INTERVAL_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One connect-write-close. `outcome`: WRITTEN (or READ), an SQLSTATE, REFUSED, CLOSED where the connection ended
    without a word, or UNANSWERED where the client's own deadline ended it. `server`: the address of the PostgreSQL that
    answered; `client`: the number of the loop that it belongs to."""

    began: float
    ended: float
    outcome: str
    server: str = ""
    detail: str = ""
    client: int = 0


@dataclass(slots=True)
class Load:
    """All attempts of one run of looping clients."""

    attempts: list[Attempt] = field(default_factory=list)

    def of(self, outcome: str) -> list[Attempt]:
        """The attempts that ended so."""
        return [attempt for attempt in self.attempts if attempt.outcome == outcome]

    @property
    def failures(self) -> list[Attempt]:
        """The attempts that were not served."""
        return [attempt for attempt in self.attempts if attempt.outcome != WRITTEN]

    def first_served_by(self, server: str, after: float) -> Attempt | None:
        """The first write that this server took after that moment."""
        served = [a for a in self.of(WRITTEN) if a.server == server and a.ended >= after]
        return min(served, key=lambda attempt: attempt.ended, default=None)

    @property
    def longest_wait_s(self) -> float:
        """The longest that one client had to wait for its write."""
        return max((a.ended - a.began for a in self.of(WRITTEN)), default=0.0)


def outcome_of(error: psycopg.Error) -> str:
    """An SQLSTATE where PostgreSQL gave one; psycopg hides that of a failed connect in its text."""
    if error.sqlstate:
        return error.sqlstate
    text = str(error)
    if "Connection refused" in text:
        return REFUSED
    for sign, sqlstate in (
        ("the database system is", STARTING_OR_STOPPING),
        ("is available", STARTING_OR_STOPPING),
        ("reaches no member", STARTING_OR_STOPPING),
        ("this is a standby cluster", STARTING_OR_STOPPING),
        ("too many clients", TOO_MANY),
        ("remaining connection slots", TOO_MANY),
    ):
        if sign in text:
            return sqlstate
    return CLOSED


async def attempt_write(conninfo: str, statement: str, *, client: int = 0, deadline_s: float | None = None) -> Attempt:
    """One connect-write-close; never raises for what PostgreSQL or the network does."""
    began = time.monotonic()
    try:
        async with (
            asyncio.timeout(deadline_s),
            await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection,
        ):
            row = await (await connection.execute(statement)).fetchone()
    except TimeoutError:
        return Attempt(began=began, ended=time.monotonic(), outcome=UNANSWERED, client=client)
    except psycopg.Error as error:
        detail = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        return Attempt(began=began, ended=time.monotonic(), outcome=outcome_of(error), detail=detail, client=client)
    server = str(row[0]) if row else ""
    return Attempt(began=began, ended=time.monotonic(), outcome=WRITTEN, server=server, client=client)


INSERT = f"insert into {TABLE} default values returning host(inet_server_addr())"
READ = "select host(inet_server_addr()) || case when pg_is_in_recovery() then '' else ' primary' end"


async def prepare(conninfo: str) -> None:
    """Make the table that the clients write to."""
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        await connection.execute(f"create table if not exists {TABLE} (id bigserial, at timestamptz default now())")


@asynccontextmanager
async def looping_clients(
    conninfo: str, clients: int, *, statement: str = INSERT, pause_s: float = 0.0, deadline_s: float | None = None
) -> AsyncIterator[Load]:
    """Run `clients` loops for as long as the block lasts; the attempts under way at its end are awaited. Without a
    `deadline_s` an attempt lasts as long as the balancer lets it."""
    load, is_over = Load(), asyncio.Event()

    async def loop(client: int) -> None:
        while not is_over.is_set():
            load.attempts.append(await attempt_write(conninfo, statement, client=client, deadline_s=deadline_s))
            await asyncio.sleep(pause_s if load.attempts[-1].outcome == WRITTEN else max(pause_s, 0.005))

    tasks = [asyncio.create_task(loop(number), name=f"client {number}") for number in range(clients)]
    try:
        yield load
    except BaseException:
        # Whoever is interrupted does not wait for a client that a balancer holds.
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    is_over.set()
    await asyncio.gather(*tasks)


@dataclass(slots=True)
class Witness:
    """When each member was first seen to take writes, by a session of its own straight to that member.

    A promotion does not end the sessions of a replica, so one session a member sees the very moment.
    """

    writable_since: dict[str, float] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def first_writable(self, *, but: str, after: float, deadline_s: float) -> tuple[str, float]:
        """The first member other than `but` that took writes after that moment, and when.

        Raises TimeoutError when there is none within `deadline_s`.
        """
        async with asyncio.timeout(deadline_s):
            while True:
                found = [(at, who) for who, at in self.writable_since.items() if who != but and at >= after]
                if found:
                    at, who = min(found)
                    return who, at
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def watching(members: Sequence[tuple[str, str]]) -> AsyncIterator[Witness]:
    """Watch members, given as (server address, conninfo), for as long as the block lasts."""
    witness = Witness()

    async def watch(server: str, conninfo: str) -> None:
        was_writable = False
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
                    while True:
                        row = await (await connection.execute("select not pg_is_in_recovery()")).fetchone()
                        is_writable = bool(row and row[0])
                        if is_writable and not was_writable:
                            witness.writable_since[server] = time.monotonic()
                            witness.changed.set()
                        was_writable = is_writable
                        await asyncio.sleep(PROBE_INTERVAL_S)
            except (psycopg.Error, errors.OperationalError):
                was_writable = False
                await asyncio.sleep(RECONNECT_INTERVAL_S)

    tasks = [asyncio.create_task(watch(*member), name=f"witness of {member[0]}") for member in members]
    try:
        yield witness
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
