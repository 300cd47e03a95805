"""`python -m benchmarks fence`: the primary's Patroni hangs beyond its ttl, and its PostgreSQL goes on to take writes.

Another member is promoted meanwhile, and what the old one takes from then on is lost. Ours, ours without its agent, and
the documented template stand in front of the same fault, each with clients of its own: sessions that stay and write,
and others that connect, write and close. Owns what is measured, and the order of one round.
"""

import asyncio
import math
import statistics
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from benchmarks.contenders import ALONE, OURS, SIDES, Contender, contenders
from benchmarks.reroute import running_lab
from benchmarks.rounds import CLIENT_DEADLINE_S, wait_steady
from benchmarks.sheets import Sheet, finish, machine, say, seconds
from benchmarks.usage import load_average
from trunkline.errors import HAProxyError, LabError
from trunkline.lab import Lab
from trunkline.lab.binaries import DEMO_HINT, find_haproxies
from trunkline.lab.faults import ARRIVAL_TIMEOUT_S
from trunkline.lab.load import INSERT, READ_ONLY, WRITTEN, Load, looping_clients, prepare, watching
from trunkline.lab.patroni_config import TTL_S

ROUNDS = 50
ROUND_TAKES_S = TTL_S + 15
STAYING, LOOPING = 2, 2
PAUSE_S = 0.01
LOOP_PAUSE_S = 0.05
WARM_UP_S = 1.0
AFTERMATH_S = 1.5
"""How long the old primary goes on to take writes beside the new one, for whoever is still sent there."""

SERVED_TIMEOUT_S = 60.0
POLL_S = 0.01
OUTAGE_WITHOUT_AN_AGENT_S = 5.0
"""At least: HAProxy's checks are silent for most of the ttl."""


@dataclass(slots=True)
class Staying:
    """One session: when each of its writes was taken, and when it was over, None while it is not."""

    writes: list[float] = field(default_factory=list)
    cut: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Addresses, and seconds of the monotonic clock. `ended`: until when the old primary was known to take writes; what
    comes later is Patroni's return."""

    old: str
    new: str
    frozen: float
    promoted: float
    ended: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """One round of one side, in seconds. `margin_s`: from the last moment of the old primary behind it (the end of the
    last session that it had there, or of the last write) to the first write that the new one would take, below 0 where
    that came first, minus infinity where a session was never ended. `outage_s`: from the last write on the old primary
    to the first on the new one. `lag_s`: to that from the promotion. `lost`: writes that the old one took after it."""

    side: str
    number: int
    margin_s: float
    outage_s: float
    lag_s: float
    lost: int
    read_only: int
    failed: int
    promoted_after_s: float
    load_average: float


def fence(
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="How often it is done.")] = ROUNDS,
    out_directory: Annotated[Path, typer.Option("--out", metavar="DIR", help="For results.json and tables.md.")] = Path(
        "bench-results/fence"
    ),
) -> None:
    """What reaches an old primary that nobody has told, and how long before the promotion that is over.

    Patroni of the primary is stopped with SIGSTOP for longer than the ttl, its PostgreSQL is not. Ours, ours without
    its agent, and the HAProxy template that Patroni documents meet the same fault at the same time.
    """
    found = find_haproxies()
    if not found:
        raise HAProxyError("no HAProxy found", hint=DEMO_HINT)
    with running_lab() as lab:
        about = machine(haproxy=str(found[0]), members=len(lab.members), ttl_s=TTL_S)
        minutes = rounds * ROUND_TAKES_S / 60
        say(f"{rounds} rounds, about {minutes:.0f} min (fewer: --rounds N), with HAProxy {found[0]}")
        everybody = contenders(lab, found[0])
        for contender in everybody.values():
            contender.start()
        played: list[Fence] = []
        for number in range(1, rounds + 1):
            lab.heal()
            played += asyncio.run(_play(lab, everybody, number))
            say(f"{number}/{rounds} " + "; ".join(in_words(it) for it in played[-len(SIDES) :]))
        for contender in everybody.values():
            contender.stop()
    finish(out_directory, [table(played)], {"machine": about, "played": played}, why_broken(played))


async def _play(lab: Lab, everybody: Mapping[str, Contender], number: int) -> list[Fence]:
    name = await asyncio.to_thread(lab.leader)
    if name is None:
        raise LabError("there is no leader to do anything to")
    old = lab.member(name)
    await prepare(old.conninfo())
    for contender in everybody.values():
        await wait_steady(contender)
    others = [member for member in lab.members.values() if member is not old]
    async with (
        watching([(member.place.host, member.conninfo()) for member in others]) as witness,
        AsyncExitStack() as all_,
    ):
        clients = {side: await all_.enter_async_context(_clients(it)) for side, it in everybody.items()}
        await asyncio.sleep(WARM_UP_S)
        frozen = time.monotonic()
        await asyncio.to_thread(lab.freeze_patroni, old.name)
        new, promoted = await witness.first_writable(but="", after=frozen, deadline_s=ARRIVAL_TIMEOUT_S)
        await asyncio.gather(*(_served(load, new, frozen) for load, _ in clients.values()))
        await asyncio.sleep(max(0.0, promoted + AFTERMATH_S - time.monotonic()))
        if not await asyncio.to_thread(old.is_writable):
            raise LabError(f"{old.name} takes no writes any more, so this round shows nothing")
        ended = time.monotonic()
        await asyncio.to_thread(lab.thaw_patroni, old.name)
    moments = Moments(old=old.place.host, new=new, frozen=frozen, promoted=promoted, ended=ended)
    return [measure(side, number, *of_one, moments) for side, of_one in clients.items()]


async def _served(load: Load, new: str, frozen: float) -> None:
    deadline = time.monotonic() + SERVED_TIMEOUT_S
    while time.monotonic() < deadline:
        if load.first_served_by(new, after=frozen) is not None:
            return
        await asyncio.sleep(POLL_S)


@asynccontextmanager
async def _clients(contender: Contender) -> AsyncIterator[tuple[Load, list[Staying]]]:
    """Who connects, writes and closes, and who stays."""
    staying = [Staying() for _ in range(STAYING)]
    tasks = [asyncio.create_task(_write(contender.conninfo(), it), name="session that writes") for it in staying]
    try:
        async with looping_clients(
            contender.conninfo(), LOOPING, statement=INSERT, pause_s=LOOP_PAUSE_S, deadline_s=CLIENT_DEADLINE_S
        ) as load:
            yield load, staying
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _write(conninfo: str, session: Staying) -> None:
    """Until it is cut; nobody connects it again."""
    connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
    try:
        while True:
            await connection.execute(INSERT)
            session.writes.append(time.monotonic())
            await asyncio.sleep(PAUSE_S)
    except psycopg.Error:
        session.cut = time.monotonic()
    finally:
        await connection.close()


def measure(side: str, number: int, load: Load, staying: Sequence[Staying], at: Moments) -> Fence:
    first = load.first_served_by(at.new, after=at.frozen)
    if first is None or any(not it.writes for it in staying):
        raise LabError(f"{side} has not served, so this round shows nothing")
    by_short = [attempt.ended for attempt in load.of(WRITTEN) if attempt.server == at.old]
    writes = [moment for moment in chain(by_short, *(it.writes for it in staying)) if moment <= at.ended]
    cuts = [it.cut if it.cut is not None and it.cut <= at.ended else math.inf for it in staying]
    return Fence(
        side=side,
        number=number,
        margin_s=at.promoted - max(*writes, *cuts),
        outage_s=first.ended - max(writes),
        lag_s=first.ended - at.promoted,
        lost=sum(1 for moment in writes if moment > at.promoted),
        read_only=len(load.of(READ_ONLY)),
        failed=len(load.failures),
        promoted_after_s=at.promoted - at.frozen,
        load_average=load_average(),
    )


def in_words(played: Fence) -> str:
    """One side of a round, while it is fresh."""
    return (
        f"{played.side}: margin {_signed(played.margin_s)}, outage {seconds(played.outage_s)}, "
        f"lag {seconds(played.lag_s)}, {played.lost} lost, {played.failed} failed"
    )


def _signed(number: float) -> str:
    """Also what is below 0.

    >>> _signed(0.4), _signed(-0.25), _signed(-math.inf)
    ('400 ms', '-250 ms', 'never ended')
    """
    if math.isinf(number):
        return "never ended"
    return seconds(number) if number >= 0 else f"-{seconds(-number)}"


def table(played: Sequence[Fence]) -> Sheet:
    """One column for each side."""
    of = {side: [it for it in played if it.side == side] for side in SIDES}

    def row(title: str, cell: Callable[[list[Fence]], str]) -> tuple[str, ...]:
        return (title, *(cell(of[side]) for side in SIDES))

    rows = (
        row("margin before the promotion: least", lambda all_: _signed(min(it.margin_s for it in all_))),
        row("margin: median", lambda all_: _signed(statistics.median(it.margin_s for it in all_))),
        row("margin: most", lambda all_: _signed(max(it.margin_s for it in all_))),
        row("outage: median", lambda all_: seconds(statistics.median(it.outage_s for it in all_))),
        row("outage: worst", lambda all_: seconds(max(it.outage_s for it in all_))),
        row("of it after the promotion: median", lambda all_: seconds(statistics.median(it.lag_s for it in all_))),
        row("of it after the promotion: worst", lambda all_: seconds(max(it.lag_s for it in all_))),
        row("writes that the old primary took after it", lambda all_: str(sum(it.lost for it in all_))),
        row("statements refused with 25006", lambda all_: str(sum(it.read_only for it in all_))),
        row("failed connections", lambda all_: str(sum(it.failed for it in all_))),
    )
    return Sheet(title=f"Patroni frozen beyond its ttl, {len(of[OURS])} rounds", columns=SIDES, rows=rows)


def why_broken(played: Sequence[Fence]) -> str | None:
    """Why this run proves nothing: without an agent most of the ttl is an outage."""
    outage_s = statistics.median(it.outage_s for it in played if it.side == ALONE)
    if outage_s < OUTAGE_WITHOUT_AN_AGENT_S:
        return f"{ALONE} had an outage of {outage_s:.1f} s, though nobody answers its checks for most of the ttl"
    return None
