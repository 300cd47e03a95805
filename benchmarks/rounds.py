"""Playing one round: clients that connect, write and close in loops, a fault, and the way back to calm.

Drives the lab and the clients, and hands their attempts to `measures`; it judges nothing. The idle balancers stand
beside the loaded one, so that all meet the same machine.
"""

import asyncio
import time
from dataclasses import dataclass

from benchmarks.contenders import Contender
from benchmarks.measures import Change, Measures, measure
from trunkline.errors import LabError
from trunkline.lab import Lab
from trunkline.lab.faults import ARRIVAL_TIMEOUT_S, Fault, is_dead, moment_of
from trunkline.lab.load import INSERT, WRITTEN, Load, Witness, attempt_write, looping_clients, prepare, watching
from trunkline.lab.member import Member

PAUSE_S = 0.02
WARM_UP_S = 1.5
# Longer than our balancer holds a client (27 s with the lab's settings): whoever waits longer has been forgotten.
CLIENT_DEADLINE_S = 30.0
# A round is over when nobody has failed for so long: the template retries for 2 s before it says no.
CALM_S = 3.0
CALM_TIMEOUT_S = 60.0
# Before a round, writes through a balancer succeed for so long; with two servers up, every other one would not.
STEADY_S = 1.5
STEADY_POLL_S = 0.05
STEADY_TIMEOUT_S = 90.0
POLL_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round of one balancer: with which HAProxy, which fault, its number, whether it came first or second, and how
    busy the machine was at its end (the load average of the last minute)."""

    haproxy: str
    fault: str
    side: str
    number: int
    place: int
    old: str
    new: str
    load_average: float
    measures: Measures


async def play(contender: Contender, lab: Lab, fault: Fault, clients: int) -> tuple[Change, Measures]:
    """Do it to the leader of a healthy lab under load; back when all clients are served again, or never will be."""
    name = await asyncio.to_thread(lab.leader)
    if name is None:
        raise LabError("there is no leader to do anything to")
    old = lab.member(name)
    await prepare(old.conninfo())
    await wait_steady(contender)
    members = [(member.place.host, member.conninfo()) for member in lab.members.values()]
    async with (
        watching(members) as witness,
        looping_clients(
            contender.conninfo(), clients, statement=INSERT, pause_s=PAUSE_S, deadline_s=CLIENT_DEADLINE_S
        ) as load,
    ):
        await asyncio.sleep(WARM_UP_S)
        change = await _strike(lab, fault, old, witness)
        await _wait_calm(load, change)
    new = next(member for member in lab.members.values() if member.place.host == change.new)
    return change, measure(load, change, straight_s=await _straight(new, clients))


async def _straight(member: Member, clients: int) -> float:
    """How soon the first of as many clients has written that all come at once, to PostgreSQL itself."""
    came = time.monotonic()
    attempts = await asyncio.gather(*(attempt_write(member.conninfo(), INSERT) for _ in range(clients)))
    return min(attempt.ended for attempt in attempts) - came


async def _strike(lab: Lab, fault: Fault, old: Member, witness: Witness) -> Change:
    """Do it; back when somebody takes writes, and whoever did it has said that it is done."""
    sign, asked = fault.sign(old), time.monotonic()
    closes = sign if fault.is_silent else is_dead(old)
    struck, closed, _, (new, writable) = await asyncio.gather(
        asyncio.to_thread(moment_of, sign),
        asyncio.to_thread(moment_of, closes),
        asyncio.to_thread(fault.strike, lab, old.name),
        witness.first_writable(but="", after=asked, deadline_s=ARRIVAL_TIMEOUT_S),
    )
    return Change(old=old.place.host, new=new, struck=struck, closed=closed, writable=writable)


async def wait_steady(contender: Contender) -> None:
    """Back when a balancer serves as in quiet times; what it is slow to learn is no part of the next round."""
    since: float | None = None
    try:
        async with asyncio.timeout(STEADY_TIMEOUT_S):
            while since is None or time.monotonic() - since < STEADY_S:
                attempt = await attempt_write(contender.conninfo(), INSERT, deadline_s=CLIENT_DEADLINE_S)
                since = (since or attempt.began) if attempt.outcome == WRITTEN else None
                await asyncio.sleep(STEADY_POLL_S)
    except TimeoutError:
        raise LabError(f"{contender!r} does not serve every write after {STEADY_TIMEOUT_S:.0f} s") from None


async def _wait_calm(load: Load, change: Change) -> None:
    """Until the new primary has served and nobody has failed for a while; who never calms is measured as he is."""
    deadline = time.monotonic() + CALM_TIMEOUT_S
    while time.monotonic() < deadline:
        trouble = max([change.writable, *(failure.ended for failure in load.failures)])
        is_served = load.first_served_by(change.new, after=change.writable) is not None
        if is_served and time.monotonic() - trouble >= CALM_S:
            return
        await asyncio.sleep(POLL_S)
