"""Who streams from a member and is none that is known is told of: once, and again when it has been away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from trunkline.adapters import strangers
from trunkline.agent.watching import Watcher
from trunkline.config.settings import ApiSettings
from trunkline.model.desired import Endpoint, Server
from trunkline.plan.pace import BURST
from trunkline.testing.fake_cluster import FakeCluster, MemberStory

PATIENCE_S = 20.0
KNOWN = ("pg1", "pg2")


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
async def watching(cluster: FakeCluster) -> AsyncIterator[Meetings]:
    meetings = Meetings()
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
        await meetings.become(2)
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        for _ in range(10_000):
            strangers.tell(teller, "demo")
        listener.close()
        strangers.tell(teller, "demo")
    assert heard == ["demo", "wörk"]
