"""Status against a cluster and a HAProxy that are made up, but asked over real sockets."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
import yaml

from trunkline.agent import memory
from trunkline.agent.discovery import Known
from trunkline.config.settings import Settings
from trunkline.errors import WrongScopeError
from trunkline.model.client import Backend, Client
from trunkline.model.cluster import ClusterView, Member
from trunkline.model.planned import AgentPlan, MemberStance, PlannedCommand, ServicePlan
from trunkline.model.proxy import Health, ProcessInfo, ProxyState, ProxyView, ServerState
from trunkline.model.receipt import Deed, Receipt, Sighting
from trunkline.model.status import (
    ClusterStatus,
    HAProxyStatus,
    MemberInService,
    MemberStatus,
    OldSessions,
    ServiceStatus,
    Status,
)
from trunkline.operate.status import read_status
from trunkline.testing.fake_cluster import FakeCluster
from trunkline.testing.fake_haproxy import FakeHAProxy

DOCS = Path(__file__).parents[2] / "docs"


@dataclass(frozen=True)
class Stage:
    cluster: FakeCluster
    haproxy: FakeHAProxy
    settings: Settings


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(FakeCluster())
        haproxy = await stack.enter_async_context(FakeHAProxy(tmp_path / "admin.sock", view(up="pg1")))
        yield Stage(cluster=cluster, haproxy=haproxy, settings=settings(tmp_path, *cluster.urls))


def settings(directory: Path, *urls: str, **others: object) -> Settings:
    cluster = {"patroni": urls, "api": {"timeout_s": 0.3}, **others}
    return Settings.model_validate({"clusters": [cluster], "directory": directory})


def view(*, up: str) -> ProxyView:
    primary = {name: Health.UP if name == up else Health.DOWN for name in ("pg1", "pg2", "pg3")}
    replicas = {name: Health.DOWN if name == "pg1" else Health.UP for name in ("pg1", "pg2", "pg3")}
    return ProxyView(
        info=ProcessInfo(version="2.8.25", pid=4711, uptime_s=60, maxconn=9),
        proxies=(proxy("postgres_primary", primary), proxy("postgres_replicas", replicas)),
    )


def proxy(name: str, healths: dict[str, Health]) -> ProxyState:
    return ProxyState(
        name=name,
        frontend_status="OPEN",
        backend_status="UP",
        servers=tuple(
            ServerState(
                proxy=name,
                name=server,
                address="127.0.0.1:1",
                health=health,
                sessions=0,
                queued=0,
                check_status="L7OK" if health is Health.UP else "L7STS",
            )
            for server, health in healths.items()
        ),
    )


def only(status: Status) -> ClusterStatus:
    assert len(status.clusters) == 1
    return status.clusters[0]


async def test_all_is_well(stage: Stage) -> None:
    status = await read_status(stage.settings)
    assert status.is_primary_reachable
    assert status.haproxy.pid == 4711
    assert (only(status).scope, only(status).leader) == ("demo", "pg1")
    assert all(place.agrees for member in only(status).members for place in member.services)


async def test_each_member_is_asked_what_haproxy_asks(stage: Stage) -> None:
    await read_status(stage.settings)
    for api in stage.cluster.apis.values():
        assert {"/primary", "/replica"} <= set(api.requests)


async def test_haproxy_lags_behind_a_switchover(stage: Stage) -> None:
    stage.cluster.promote("pg2")
    status = await read_status(stage.settings)
    assert not status.is_primary_reachable
    assert not next(m for m in only(status).members if m.name == "pg2").services[0].agrees


async def test_a_silent_member_costs_one_deadline_and_is_a_row(stage: Stage) -> None:
    stage.cluster.apis["pg3"].fall_silent()
    async with asyncio.timeout(5):
        status = await read_status(stage.settings)
    assert status.is_primary_reachable
    silent = only(status).members[2]
    assert (silent.name, silent.services[0].qualifies) == ("pg3", None)
    assert "gave no answer within 0.3 s" in silent.problem


async def test_a_haproxy_that_ended_is_a_row(stage: Stage) -> None:
    await stage.haproxy.stop()
    status = await read_status(stage.settings)
    assert not status.is_primary_reachable
    assert "has ended" in status.haproxy.problem
    assert [member.name for member in only(status).members] == ["pg1", "pg2", "pg3"]


async def test_where_no_patroni_answers_haproxy_is_believed(stage: Stage) -> None:
    for api in stage.cluster.apis.values():
        await api.refuse()
    status = await read_status(stage.settings)
    assert status.is_primary_reachable
    assert "none of 3" in only(status).problem
    assert "\n" not in only(status).problem


async def test_remembered_members_answer_where_the_listed_one_does_not(tmp_path: Path, stage: Stage) -> None:
    listed = settings(tmp_path, stage.cluster.urls[0])
    members = tuple(
        Member(name=name, host="127.0.0.1", port=1, api_url=api.url) for name, api in stage.cluster.apis.items()
    )
    known = Known(view=ClusterView(scope="demo", members=members))
    memory.store(tmp_path, memory.as_text([(listed.clusters[0], known)]))
    await stage.cluster.apis["pg1"].refuse()
    status = await read_status(listed)
    assert (only(status).problem, only(status).leader) == ("", "pg1")


async def test_another_cluster_is_an_error_of_the_settings(tmp_path: Path, stage: Stage) -> None:
    with pytest.raises(WrongScopeError, match="'demo', not to 'other'"):
        await read_status(settings(tmp_path, *stage.cluster.urls, scope="other"))


async def command(*words: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "trunkline", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_command_status(tmp_path: Path, stage: Stage) -> None:
    file = tmp_path / "trunkline.yml"
    file.write_text(yaml.safe_dump({"patroni": list(stage.cluster.urls), "directory": str(tmp_path)}))
    code, out, err = await command("status", "--config", str(file), "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["clusters"][0]["leader"] == "pg1"
    await stage.haproxy.stop()
    code, out, _ = await command("status", "--config", str(file))
    assert code == 1
    assert "HAProxy cannot be asked" in out
    code, out, err = await command("who", "--config", str(file), "77")
    assert (code, out) == (1, "")
    assert "Traceback" not in err
    assert "HINT: " in err


@pytest.mark.parametrize(
    ("page", "kinds"),
    [
        (
            "status.md",
            (
                *(Status, HAProxyStatus, OldSessions, ClusterStatus, MemberStatus, MemberInService, ServiceStatus),
                *(AgentPlan, ServicePlan, MemberStance, PlannedCommand),
            ),
        ),
        ("who.md", (Client, Backend)),
        ("history.md", (Receipt, Sighting, Deed)),
    ],
)
def test_every_key_is_documented(page: str, kinds: tuple[type, ...]) -> None:
    text = (DOCS / page).read_text()
    names = {field.name for kind in kinds for field in fields(kind)}
    assert {name for name in names if f"`{name}`" not in text} == set()
