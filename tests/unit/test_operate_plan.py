"""The dry run against a cluster and a HAProxy that are made up, but asked over real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from trunkline.agent import memory
from trunkline.agent.discovery import Known
from trunkline.config.settings import Settings
from trunkline.errors import PatroniError, RuntimeSocketError
from trunkline.model.cluster import ClusterView, Member
from trunkline.model.planned import MemberStance, ServicePlan
from trunkline.model.proxy import Health, ProcessInfo, ProxyState, ProxyView, ServerState
from trunkline.operate.plan import read_plans
from trunkline.testing.fake_cluster import FakeCluster
from trunkline.testing.fake_haproxy import FakeHAProxy

NAMES = ("pg1", "pg2", "pg3")
PRIMARY, REPLICAS = "postgres_primary", "postgres_replicas"
ASKED_FOR_A_PASSWORD = b"R\0\0\0\x08\0\0\0\3"


class Postgres:
    """A port: what asks for a password, what says nothing, or where nobody listens."""

    def __init__(self) -> None:
        self.says: bytes | None = ASKED_FOR_A_PASSWORD
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, sock=self._socket)

    def refuse(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        if self.says is not None:
            writer.write(self.says)
        else:
            await reader.read()
        writer.close()


@dataclass(frozen=True)
class Stage:
    cluster: FakeCluster
    postgres: dict[str, Postgres]
    haproxy: FakeHAProxy
    settings: Settings

    async def plan(self, service: str = PRIMARY) -> ServicePlan:
        plans = await read_plans(self.settings)
        return next(it for it in plans if it.service == service)

    async def stance(self, name: str = "pg1", service: str = PRIMARY) -> MemberStance:
        return next(it for it in (await self.plan(service)).members if it.member == name)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    postgres = {name: Postgres() for name in NAMES}
    async with AsyncExitStack() as stack:
        for one in postgres.values():
            await one.start()
            stack.callback(one.refuse)
        places = {name: ("127.0.0.1", one.port) for name, one in postgres.items()}
        cluster = await stack.enter_async_context(FakeCluster(NAMES, postgres=places))
        haproxy = await stack.enter_async_context(FakeHAProxy(tmp_path / "admin.sock", view(postgres)))
        yield Stage(cluster, postgres, haproxy, settings(tmp_path, *cluster.urls))


def settings(directory: Path, *urls: str) -> Settings:
    cluster = {"patroni": urls, "api": {"timeout_s": 0.5}}
    return Settings.model_validate({"clusters": [cluster], "directory": directory})


def view(postgres: dict[str, Postgres]) -> ProxyView:
    primary = {name: Health.UP if name == "pg1" else Health.DOWN for name in NAMES}
    replicas = {name: Health.DOWN if name == "pg1" else Health.UP for name in NAMES}
    return ProxyView(
        info=ProcessInfo(version="2.8.25", pid=4711, uptime_s=60, maxconn=9),
        proxies=(proxy(PRIMARY, primary, postgres), proxy(REPLICAS, replicas, postgres)),
    )


def proxy(name: str, healths: dict[str, Health], postgres: dict[str, Postgres]) -> ProxyState:
    servers = (
        ServerState(
            proxy=name,
            name=server,
            address=f"127.0.0.1:{postgres[server].port}",
            health=health,
            sessions=0,
            queued=0,
            check_status="L7OK",
        )
        for server, health in healths.items()
    )
    return ProxyState(name=name, frontend_status="OPEN", backend_status="UP", servers=tuple(servers))


async def test_all_is_well(stage: Stage) -> None:
    plan = await stage.plan()
    assert [(it.member, it.stance) for it in plan.members] == [("pg1", "serves"), ("pg2", "out"), ("pg3", "out")]
    assert (plan.commands, plan.warnings) == ((), ())


@pytest.mark.parametrize("how", ["refuses", "is silent"])
async def test_the_api_says_that_all_is_well_and_the_port_asked_after_that_is_dead(stage: Stage, how: str) -> None:
    if how == "refuses":
        stage.postgres["pg1"].refuse()
    else:
        stage.postgres["pg1"].says = None
    stance = await stage.stance()
    assert stance.because.startswith("it passes the truth check, but its PostgreSQL, asked after that,")
    assert [it.command for it in (await stage.plan()).commands] == [f"trunkline stick {PRIMARY}/pg1 drain"]


async def test_a_key_that_was_read_after_the_answer_counts_against_it(stage: Stage) -> None:
    """A primary that has not noticed yet that it was replaced."""
    stage.cluster.leader = "pg2"
    stage.cluster.stories["pg2"].is_promoted = False
    lie = FakeCluster(NAMES)
    stage.cluster.apis["pg1"].answer = (  # type: ignore[method-assign]
        lambda path, query: (
            lie.answer("pg1", path, query) if path == "/primary" else stage.cluster.answer("pg2", path, {})
        )
    )
    assert (await stage.stance()).stance == "barred"


async def test_silence_of_one_makes_the_answers_of_others_no_older(stage: Stage) -> None:
    """An agent would have asked them again meanwhile: so one that takes writes is let in."""
    stage.cluster.promote("pg2")
    stage.cluster.apis["pg1"].fall_silent()
    assert f"set server {PRIMARY}/pg2 health up" in [it.command for it in (await stage.plan()).commands]


async def test_all_apis_are_silent_and_the_members_are_remembered(stage: Stage, tmp_path: Path) -> None:
    members = tuple(
        Member(name=name, host="127.0.0.1", port=one.port, api_url=stage.cluster.apis[name].url)
        for name, one in sorted(stage.postgres.items())
    )
    known = Known(view=ClusterView(scope="demo", members=members))
    memory.store(tmp_path, memory.as_text([(stage.settings.clusters[0], known)]))
    for api in stage.cluster.apis.values():
        api.fall_silent()
    plan = await stage.plan()
    assert [(it.member, it.stance) for it in plan.members] == [("pg1", "checks"), ("pg2", "checks"), ("pg3", "checks")]
    assert "its API was silent" in plan.members[0].facts
    assert "its PostgreSQL answers" in plan.members[0].facts
    (warning,) = plan.warnings
    assert warning.startswith("no Patroni could be asked who the members are: ")
    kept = await stage.plan(REPLICAS)
    assert [it.command for it in kept.commands] == [f"trunkline stick {REPLICAS}/{name} checks" for name in NAMES[1:]]


async def test_all_apis_are_silent_and_only_haproxy_knows_the_members(stage: Stage) -> None:
    for api in stage.cluster.apis.values():
        await api.refuse()
    plan = await stage.plan()
    assert [it.member for it in plan.members] == list(NAMES)
    assert plan.members[0].facts.startswith("its API was not asked, or has said nothing of use; its PostgreSQL answers")
    assert plan.warnings


async def test_who_is_not_answered_at_all(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(RuntimeSocketError):
        await read_plans(settings(tmp_path / "elsewhere", *stage.cluster.urls))
    stage.haproxy.view = ProxyView(info=stage.haproxy.view.info, proxies=())
    for api in stage.cluster.apis.values():
        await api.refuse()
    with pytest.raises(PatroniError):
        await read_plans(stage.settings)
