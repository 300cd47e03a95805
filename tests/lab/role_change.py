"""One role change, as clients of the balancer live through it, and which of their failures are whose.

Plays a fault while clients connect, insert and close in loops, and keeps every attempt. When an attempt *began* says
what may have become of it:

`in flight`  before the fault had reached the kernel: the old primary's postmaster was seen dead, or stopped, or to
             say that it was asked to shut down. At most one a client.
`stopping`   between that and the moment when the old primary's port took no connection any more. A clean shutdown
             takes about 20 ms, in which PostgreSQL answers 57P03, or closes on whom it had no time to answer. A killed
             postmaster takes none. The kernel of a frozen node accepts for a PostgreSQL that never will, until HAProxy
             sees the silence: at most one a client, since each waits, and within half of the ttl.
`unserved`   everything else that was not served: connections of the gap, and of all the time after it.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.errors import RuntimeSocketError
from trunkline.lab import Lab
from trunkline.lab.balancer import Balancer
from trunkline.lab.faults import Fault, is_dead, moment_of
from trunkline.lab.load import INSERT, Attempt, Load, looping_clients, prepare, watching

CLIENTS = 12
PAUSE_S = 0.02
WARM_UP_S = 1.0
AFTERMATH_S = 1.0
HAPROXY_POLL_S = 0.02
GAP_TIMEOUT_S = 60.0
SERVED_TIMEOUT_S = 30.0
WITNESS_IS_LATE_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleChange:
    """What happened, in seconds of the monotonic clock. `old` and `new` are addresses of PostgreSQL; `struck`: when the
    fault had arrived; `closed`: when the old primary's port took no connection any more; `noticed`: when HAProxy gave
    it no more sessions; `writable`: when the new one took writes without any balancer."""

    fault: Fault
    old: str
    new: str
    struck: float
    closed: float
    noticed: float
    writable: float
    load: Load

    @property
    def first_served(self) -> Attempt | None:
        """The first write through the balancer that the new primary took."""
        return self.load.first_served_by(self.new, after=self.writable - WITNESS_IS_LATE_S)

    @property
    def lag_s(self) -> float:
        """What the balancer has added to the gap."""
        return self.first_served.ended - self.writable if self.first_served else float("inf")

    @property
    def in_flight(self) -> list[Attempt]:
        """Failures of attempts that the fault found under way."""
        return [attempt for attempt in self.load.failures if attempt.began < self.struck]

    @property
    def stopping(self) -> list[Attempt]:
        """Failures of connections that the old primary, or its kernel, still took."""
        return [attempt for attempt in self.load.failures if self.struck <= attempt.began < self.closed]

    @property
    def unserved(self) -> list[Attempt]:
        """The failures that nobody but the balancer has to answer for."""
        return [attempt for attempt in self.load.failures if attempt.began >= self.closed]

    def __str__(self) -> str:
        return (
            f"lag {self.lag_s * 1000:.0f} ms, gap {self.writable - self.struck:.2f} s, "
            f"closed after {(self.closed - self.struck) * 1000:.0f} ms, "
            f"noticed after {self.noticed - self.struck:.2f} s, "
            f"longest wait {self.load.longest_wait_s:.2f} s, {len(self.load.attempts)} attempts, failed: "
            f"{len(self.in_flight)} in flight, {len(self.stopping)} stopping, {len(self.unserved)} unserved"
        )


def leader_of(lab: Lab) -> str:
    """The leader's name, where there must be one."""
    leader = lab.leader()
    assert leader is not None
    return leader


async def play(balancer: Balancer, fault: Fault) -> RoleChange:
    """Do it to the leader under load; back when the new primary has served for a while."""
    lab = balancer.lab
    old = lab.member(leader_of(lab))
    members = [(member.place.host, member.conninfo()) for member in lab.members.values()]
    await prepare(old.conninfo())
    async with (
        watching(members) as witness,
        looping_clients(balancer.conninfo(), CLIENTS, statement=INSERT, pause_s=PAUSE_S) as load,
    ):
        await asyncio.sleep(WARM_UP_S)
        sign = fault.sign(old)
        began = time.monotonic()
        async with asyncio.TaskGroup() as watch:
            struck = watch.create_task(asyncio.to_thread(moment_of, sign))
            dead = None if fault.is_silent else watch.create_task(asyncio.to_thread(moment_of, is_dead(old)))
            noticed = watch.create_task(_moment_noticed(balancer, old.name))
            watch.create_task(asyncio.to_thread(fault.strike, lab, old.name))
            new, writable = await witness.first_writable(but="", after=began, deadline_s=GAP_TIMEOUT_S)
        change = RoleChange(
            fault=fault,
            old=old.place.host,
            new=new,
            struck=struck.result(),
            closed=dead.result() if dead else noticed.result(),
            noticed=noticed.result(),
            writable=writable,
            load=load,
        )
        await until(lambda: change.first_served is not None, timeout_s=SERVED_TIMEOUT_S)
        await asyncio.sleep(AFTERMATH_S)
    return change


async def _moment_noticed(balancer: Balancer, name: str) -> float:
    """When HAProxy took this member out of the primary's backend."""
    async with asyncio.timeout(GAP_TIMEOUT_S):
        while True:
            if not await takes_writes(balancer, name):
                return time.monotonic()
            await asyncio.sleep(HAPROXY_POLL_S)


async def until(is_so: Callable[[], bool], *, timeout_s: float) -> None:
    """Back when something is so that nobody announces; TimeoutError when it does not become so."""
    async with asyncio.timeout(timeout_s):
        while True:
            if is_so():
                return
            await asyncio.sleep(HAPROXY_POLL_S)


async def takes_writes(balancer: Balancer, name: str) -> bool:
    """Whether HAProxy sends sessions of the primary's port to this member."""
    try:
        view = await RuntimeSocket(balancer.admin_socket).view()
    except RuntimeSocketError:
        return True
    proxy = next(proxy for proxy in view.proxies if proxy.name == "postgres_primary")
    server = proxy.server(name)
    return server is not None and server.takes_sessions
