"""A cluster that follows another one has nobody who takes writes: that is said at once, and undone when it is over."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.lab.beside import beside
from tests.lab.commands import status
from tests.lab.role_change import leader_of
from trunkline.lab import Lab
from trunkline.lab.balancer import Balancer
from trunkline.lab.load import READ, STARTING_OR_STOPPING, Attempt, attempt_write
from trunkline.lab.processes import wait_until

NOBODY = {"host": "127.0.0.99", "port": 5432}
"""The cluster that is followed; for what is tested here it need not be there."""

PATIENCE_S = 30.0
POLL_S = 0.1
AT_ONCE_S = 1.0


@asynccontextmanager
async def standby_cluster(lab: Lab) -> AsyncIterator[str]:
    """Make the lab one, for as long as the block lasts; the name of its leader."""
    await asyncio.to_thread(configure, lab, NOBODY)
    try:
        yield await asyncio.to_thread(standby_leader, lab)
    finally:
        await asyncio.to_thread(configure, lab, None)
        await asyncio.to_thread(lab.wait_healthy)


def configure(lab: Lab, followed: dict[str, object] | None) -> None:
    answers = (lab.ask_as_admin(name, "PATCH", "/config", {"standby_cluster": followed}) for name in lab.members)
    assert any(answer.status == 200 for answer in answers)


def standby_leader(lab: Lab) -> str:
    found: list[str] = []

    def is_there() -> bool:
        found.extend(name for name, member in lab.members.items() if member.ask("/standby-leader").status == 200)
        return bool(found)

    assert wait_until(is_there, timeout_s=PATIENCE_S, poll_s=POLL_S)
    return found[0]


async def read(balancer: Balancer) -> Attempt:
    return await attempt_write(balancer.conninfo(), READ, deadline_s=AT_ONCE_S)


async def first(balancer: Balancer, is_wanted: Callable[[Attempt], bool]) -> Attempt:
    """What a client of the primary's port gets as soon as it gets that."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            attempt = await read(balancer)
            if is_wanted(attempt):
                return attempt
            await asyncio.sleep(POLL_S)


async def test_it_is_refused_at_once_or_its_leader_serves_as_was_wished(
    balancer: Balancer, measured: Callable[[str], None]
) -> None:
    lab = balancer.lab
    with beside(balancer, standby_leader=True) as willing:
        await asyncio.to_thread(willing.wait_written)
        async with standby_cluster(lab) as leader:
            began = time.monotonic()
            refused = await first(balancer, lambda attempt: attempt.outcome == STARTING_OR_STOPPING)
            measured(f"said {time.monotonic() - began:.1f} s after there was a standby leader")
            assert "this is a standby cluster, no member of it takes writes" in refused.detail
            code, cluster = await asyncio.to_thread(status, balancer)
            assert (code, cluster["is_standby_cluster"]) == (1, True)
            assert "standby cluster" in cluster["services"][0]["sentence"]
            served = await first(willing, lambda attempt: attempt.server != "")
            assert served.server == lab.member(leader).place.host
        promoted = lab.member(leader_of(lab)).place.host
        for each in (balancer, willing):
            served = await first(each, lambda attempt: attempt.server != "")
            assert served.server == f"{promoted} primary"
