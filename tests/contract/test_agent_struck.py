"""An agent that is killed or stopped right after any single command: nobody is misrouted, and nothing stays.

Between the agent and HAProxy sits a socket that passes commands on, and strikes the agent once HAProxy has taken the
command in question, before its answer is there.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from agent_process import agent_beside
from contract_subjects import Postgres
from in_front import ask_behind, in_front
from supervised import Supervised

from trunkline.agent.steering import LEASE_MS
from trunkline.testing.fake_cluster import FakeCluster

pytestmark = [pytest.mark.haproxy, pytest.mark.slow]
CHANGES = (b"set server ", b"trunkline close ", b"trunkline stick ", b"trunkline unstick ", b"shutdown sessions ")
STORY = 5
"""Commands of the story below, as `test_nothing_strikes` counts them at least."""

UNDONE_S = LEASE_MS / 1000 + 0.5
SETTLED_S = 20.0
"""Against hanging: the machine may be busy."""
WITHOUT = {"agent": {"enabled": False}}


class Between:
    """A socket in front of HAProxy's. `at`: the number of the command after which `strike` is called, 0 for none."""

    def __init__(self, path: Path, behind: str, at: int) -> None:
        self.path, self.taken = path, list[str]()
        self.strike: Callable[[], None] = lambda: None
        self.struck = asyncio.Event()
        self._behind, self._at = behind, at

    async def answer(self, line: bytes) -> bytes:
        """HAProxy's, after it was counted."""
        answer = await ask_behind(self._behind, line)
        if any(change in line for change in CHANGES):
            self.taken.append(line.decode().partition("; ")[2].strip())
            if len(self.taken) == self._at:
                self.strike()
                self.struck.set()
        return answer


@asynccontextmanager
async def agent_behind(run: Supervised, at: int, number: signal.Signals) -> AsyncIterator[Between]:
    """`trunkline agent` that is struck after its command number `at`."""
    between = Between(run.directory / "between.sock", run.paths.admin_socket, at)
    config = run.config.with_name("agent.yml")
    haproxy = run.settings["haproxy"] | {"socket": str(between.path)}
    config.write_text(yaml.safe_dump(run.settings | {"haproxy": haproxy}))
    async with in_front(between.path, between.answer), agent_beside(run, config) as process:
        between.strike = lambda: process.send_signal(number)
        yield between


async def failover(
    run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres], between: Between
) -> tuple[float, set[str]]:
    """The primary's API falls silent, then its PostgreSQL, another is promoted, and the old one is back as a replica.

    Returns the moment of the promotion, and who was served of those that came later. After each step everything
    settles, with an agent or without.
    """
    cluster.apis["pg1"].fall_silent()
    await settled(run, between, lambda: any("stick postgres_primary/pg1 checks" in it for it in between.taken))
    postgres["pg1"].is_silent = True
    await settled(run, between, lambda: any("stick postgres_primary/pg1 drain" in it for it in between.taken))
    while not postgres["pg1"].clients.empty():
        postgres["pg1"].clients.get_nowait()
    promoted = time.monotonic()
    cluster.promote("pg2")
    await run.until(run.leads_to("pg2"))
    for _ in range(10):
        await run.connect(run.ports[0])
    async with asyncio.timeout(SETTLED_S):
        for _ in range(10):
            await postgres["pg2"].clients.get()
    postgres["pg1"].is_silent = False
    cluster.apis["pg1"].speak()
    await settled(run, between, lambda: sum("unstick postgres_primary/pg1" in it for it in between.taken) == 2)
    return promoted, {name for name in ("pg1", "pg3") if not postgres[name].clients.empty()}


async def settled(run: Supervised, between: Between, has_done: Callable[[], bool]) -> None:
    """Back when the agent has done its part, or was struck and all that it had set is undone."""
    try:
        async with asyncio.timeout(SETTLED_S + UNDONE_S):
            while not has_done():
                if between.struck.is_set():
                    await undone(run)
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"taken were {between.taken}; the log:\n{run.words}") from None


async def undone(run: Supervised) -> None:
    async with asyncio.timeout(UNDONE_S + 1.0):
        while True:
            if not (await run.runtime.lease()).stuck:
                return
            await asyncio.sleep(0.02)


async def test_nothing_strikes(run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres]) -> None:
    run.write(WITHOUT)
    await run.serve()
    async with agent_behind(run, 0, signal.SIGKILL) as between:
        _, wrong = await failover(run, cluster, postgres, between)
        assert wrong == set()
        assert len(between.taken) >= STORY, between.taken
    await undone(run)
    await run.stop()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
@pytest.mark.parametrize("at", range(1, STORY + 1))
async def test_struck_after_one_command(
    at: int, number: signal.Signals, run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres]
) -> None:
    run.write(WITHOUT)
    await run.serve()
    async with agent_behind(run, at, number) as between:
        _, wrong = await failover(run, cluster, postgres, between)
        assert between.struck.is_set(), between.taken
        assert wrong == set()
        await undone(run)
        await run.until(run.leads_to("pg2"))
    async with agent_behind(run, 0, number) as between:
        cluster.promote("pg3")  # the next one takes over from what it finds
        await run.until(run.leads_to("pg3"))
        await run.connect(run.ports[0])
        async with asyncio.timeout(SETTLED_S):
            await postgres["pg3"].clients.get()
    await run.stop()
