"""A role change with an agent beside HAProxy, and what becomes of one whose agent is killed or stopped in it."""

import asyncio
import json
import signal
import time
from collections.abc import Callable

import pytest

from tests.lab.commands import command
from tests.lab.receipts import assert_true, receipt_after, receipts, told
from tests.lab.role_change import RoleChange, play
from tests.lab.test_failover import assert_comes_back, assert_kept, lives, sessions
from trunkline.lab.balancer import Balancer
from trunkline.lab.faults import FAULTS, SWITCHOVER, Fault
from trunkline.lab.load import READ_ONLY
from trunkline.lab.processes import send, wait_until
from trunkline.plan.timeline import sentence

AGENT_TIMEOUT_S = 20.0


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_a_role_change_is_followed_at_once(
    fault: Fault, steered: Balancer, rounds: int, measured: Callable[[str], None]
) -> None:
    for _ in range(rounds):
        before = len(receipts(steered))
        async with sessions(steered) as (idle, _):
            change = await play(steered, fault)
            measured(str(change))
            assert_kept(change)
            assert not await lives(idle)
        receipt = await receipt_after(steered, before)
        measured(told(receipt, change))
        assert_true(receipt, change, steered)
        if change.new != change.old:
            await assert_comes_back(steered, change)
        await asyncio.to_thread(steered.lab.heal)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
@pytest.mark.parametrize("after_s", [-1.0, 0.3, 1.5, 2.6], ids=["before", "early", "in the gap", "late"])
async def test_an_agent_that_is_lost_costs_nobody_anything(
    number: signal.Signals, after_s: float, steered: Balancer, measured: Callable[[str], None]
) -> None:
    """HAProxy goes on with its own checks: as without an agent, and with nobody sent to the wrong server."""
    agent = steered.agent
    assert agent is not None
    strike = SWITCHOVER.strike

    def strike_both(*where: object) -> None:
        if after_s < 0:
            send([agent], number)
            time.sleep(-after_s)
        strike(*where)  # type: ignore[arg-type]

    async def lose_it() -> None:
        await asyncio.sleep(max(after_s, 0.0) + 1.0)
        if after_s >= 0:
            send([agent], number)

    fault = Fault(name="switchover", strike=strike_both, sign=SWITCHOVER.sign)
    losing = asyncio.create_task(lose_it())
    try:
        change: RoleChange = await play(steered, fault)
    finally:
        await losing
        send([agent], signal.SIGKILL)
    measured(str(change))
    assert change.load.of(READ_ONLY) == []
    assert_kept(change)
    assert wait_until(lambda: steered.agent not in (None, agent), timeout_s=AGENT_TIMEOUT_S)
    await asyncio.to_thread(steered.lab.heal)


async def test_the_history_is_for_reading(steered: Balancer) -> None:
    before = len(receipts(steered))
    await asyncio.to_thread(steered.lab.switchover)
    receipt = await receipt_after(steered, before)
    await asyncio.to_thread(steered.lab.heal)
    last = ("--last", str(len(receipts(steered)) - before))
    text = command(steered, "history", *last).stdout
    assert sentence(receipt) in text
    assert ": promoted" in text
    told = json.loads(command(steered, "history", *last, "--json").stdout)["receipts"]
    (kept,) = (it for it in told if it["began_at_s"] == receipt.began_at_s)
    assert kept["new"] == receipt.new
    assert [it["what"] for it in kept["sightings"]] == [it.what for it in receipt.sightings]
