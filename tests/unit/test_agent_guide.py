"""Who is watched is always who is steered."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.agent import steered
from trunkline.agent.decided import Decided
from trunkline.agent.discovery import Known
from trunkline.agent.metrics import Metrics
from trunkline.agent.recording import Recording
from trunkline.agent.steered import Guide, Knowns
from trunkline.agent.steering import Steering
from trunkline.agent.tasks import Tasks
from trunkline.config.settings import Settings
from trunkline.model.cluster import ClusterView, Member, Role
from trunkline.plan.paths import run_paths

TIMEOUT_S = 20.0


def known(scope: str) -> Knowns:
    member = Member(name="pg1", host="127.0.0.1", port=1, api_url="http://127.0.0.1:2", role=Role.UNKNOWN)
    return (Known(view=ClusterView(scope=scope, members=(member,))),)


def watches() -> set[str]:
    """Which clusters are watched now."""
    names = (task.get_name() for task in asyncio.all_tasks())
    return {name.removeprefix("watch ") for name in names if name.startswith("watch ") and name != "watch the store"}


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not is_so():  # noqa: ASYNC110 - tasks tell nobody that they have ended
            await asyncio.sleep(0.005)


async def test_a_cluster_that_has_another_name_now_is_watched_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steered, "LOOK_S", 0.01)
    settings = Settings.model_validate({"clusters": [{"patroni": ["http://127.0.0.1:2"]}]})
    paths = run_paths(tmp_path, settings)
    recording = Recording(tmp_path, Metrics(), Decided())
    steering = Steering(RuntimeSocket(paths.admin_socket), None, recording, tuple)
    now = known("old")
    async with Tasks() as tasks:
        guide = Guide(steering, settings, paths, lambda *_: None, lambda _: None)
        tasks.start("guide", lambda: guide.run(lambda: now, tasks))
        await until(lambda: watches() == {"old"})
        now = known("new")
        await until(lambda: watches() == {"new"})
        assert [cluster.scope for cluster in steering.steered] == ["new"]
