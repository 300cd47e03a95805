"""Who streams from a member and is none that is known is told of: once, and again when it has been away."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
from structlog.testing import capture_logs

from trunkline.adapters import strangers
from trunkline.agent import following as following_module
from trunkline.agent import watching as watching_module
from trunkline.agent.following import Following
from trunkline.agent.tasks import Tasks
from trunkline.agent.watching import Watcher
from trunkline.config.settings import ApiSettings, ClusterSettings
from trunkline.model.desired import Endpoint, Server
from trunkline.plan.pace import BURST
from trunkline.testing.fake_cluster import FakeCluster, MemberStory

PATIENCE_S = 20.0
KNOWN = ("pg1", "pg2")
HALF = "half a pair: \ud800"


class Meetings:
    """How often the watcher has met somebody."""

    def __init__(self) -> None:
        self.count = 0
        self._news = asyncio.Event()

    def met(self) -> None:
        self.count += 1
        self._news.set()

    async def become(self, count: int) -> None:
        """Back when there were so many."""
        async with asyncio.timeout(PATIENCE_S):
            while self.count < count:
                self._news.clear()
                await self._news.wait()
        assert self.count == count


async def asked(cluster: FakeCluster, times: int) -> None:
    """Back when the primary was asked so often from now on, and has answered."""
    requests = cluster.apis["pg1"].requests
    before = requests.count("/primary")
    async with asyncio.timeout(PATIENCE_S):
        while requests.count("/primary") <= before + times:  # noqa: ASYNC110 - a fake tells nobody
            await asyncio.sleep(0.005)


@asynccontextmanager
async def watching(cluster: FakeCluster, meetings: Meetings | None = None) -> AsyncIterator[Meetings]:
    meetings = meetings or Meetings()
    watcher = Watcher(ApiSettings(), lambda: None, None, meetings.met)
    watcher.set_pace(BURST)
    watcher.follow((server(name), cluster.apis[name].url) for name in KNOWN)
    task = asyncio.create_task(watcher.run())
    try:
        yield meetings
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def server(name: str) -> Server:
    place = Endpoint(address="127.0.0.1", port=1)
    return Server(name=name, member=name, postgres=place, api=place)


async def test_a_stranger_is_told_of_once() -> None:
    async with FakeCluster(KNOWN) as cluster, watching(cluster) as meetings:
        await asked(cluster, 3)
        assert meetings.count == 0
        await cluster.join(MemberStory(name="pg3", host="127.0.0.1", port=1))
        await meetings.become(1)
        await asked(cluster, 5)
        assert meetings.count == 1


async def test_one_that_was_away_and_another_are_told_of() -> None:
    async with FakeCluster(KNOWN) as cluster, watching(cluster) as meetings:
        await cluster.join(MemberStory(name="pg3", host="127.0.0.1", port=1))
        await meetings.become(1)
        cluster.stories["pg3"].is_alive = False
        await asked(cluster, 1)
        cluster.stories["pg3"].is_alive = True
        await meetings.become(2)
        await cluster.join(MemberStory(name="receiver", host="127.0.0.1", port=1, is_listed=False))
        await meetings.become(3)


class Defective(Meetings):
    """The first time it cannot take it."""

    def met(self) -> None:
        super().met()
        if self.count == 1:
            raise ZeroDivisionError


async def test_a_defect_does_not_end_the_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and the member is asked again."""
    monkeypatch.setattr(watching_module, "Tasks", partial(Tasks, again_after_s=0.0))
    with capture_logs() as lines:
        async with FakeCluster(KNOWN) as cluster, watching(cluster, Defective()) as meetings:
            await cluster.join(MemberStory(name="pg3", host="127.0.0.1", port=1))
            await meetings.become(2)
            await asked(cluster, 3)
    assert [(line["event"], line["task"]) for line in lines] == [
        ("a defect of trunkline itself; please report it", "ask pg1")
    ]


async def test_hints_that_lead_to_nothing_are_heard_less_and_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first at once, then after 0.25, 0.5 and 1 s."""
    monkeypatch.setattr(following_module, "EVERY_S", 1000.0)
    async with FakeCluster(KNOWN) as cluster:
        following = Following(ClusterSettings.model_validate({"patroni": [cluster.apis["pg1"].url]}))
        task = asyncio.create_task(following.follow(lambda: None))
        began = time.monotonic()
        async with asyncio.timeout(PATIENCE_S):
            while sum(api.requests.count("/config") for api in cluster.apis.values()) < 5:
                following.hint()
                await asyncio.sleep(0.005)
        assert time.monotonic() - began > 1.5
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_from_one_process_to_another() -> None:
    """As much as there is room for, nothing to one that is gone, and nobody waits."""
    heard: list[str] = []
    meetings = Meetings()
    listener, teller = strangers.pair()

    def hear(scope: str) -> None:
        heard.append(scope)
        meetings.met()

    with listener, teller:
        listening = asyncio.create_task(strangers.listen(listener, hear))
        strangers.tell(teller, "demo")
        strangers.tell(teller, "wörk")
        strangers.tell(teller, HALF)
        await meetings.become(3)
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        for _ in range(10_000):
            strangers.tell(teller, "demo")
        listener.close()
        strangers.tell(teller, "demo")
    assert heard == ["demo", "wörk", HALF]
