"""The fake cluster says what real ones said in the same situation."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest

from trunkline.model.cluster import ClusterView, MemberAnswer, Role
from trunkline.testing.fake_cluster import FakeCluster
from trunkline.testing.fake_patroni import FakePatroni
from trunkline.wire.patroni import parse_cluster, parse_member_answer

DATA = Path(__file__).parents[1] / "data" / "patroni"
VERSIONS = pytest.mark.parametrize(("recorded_by", "speaks_3_0"), [("4.1.5", False), ("3.0.4", True)])
NO_QUERY: Mapping[str, str] = {}


def listed(view: ClusterView) -> list[tuple[str, Role, str, bool]]:
    return [(one.name, one.role, one.state, one.lag_bytes is None) for one in view.members]


def said(answer: MemberAnswer) -> tuple[object, ...]:
    has_locations = (answer.writes_location is not None, answer.replay_location is not None)
    return answer.scope, answer.name, answer.role, answer.state, answer.patroni_version, has_locations


def recorded(version: str, name: str) -> bytes:
    return (DATA / version / f"{name}.json").read_bytes()


@VERSIONS
def test_lists_members_as_patroni_does(recorded_by: str, speaks_3_0: bool) -> None:
    cluster = FakeCluster(leader="pg2", speaks_3_0=speaks_3_0)
    view, real = parse_cluster(cluster.answer("pg1", "/cluster", NO_QUERY).body), recorded(recorded_by, "cluster")
    assert listed(view) == listed(parse_cluster(real))
    assert view.scope == parse_cluster(real).scope


@VERSIONS
@pytest.mark.parametrize(
    ("name", "is_alive", "record"),
    [("pg2", True, "member_primary"), ("pg1", True, "member_replica"), ("pg2", False, "member_primary_dead")],
)
def test_a_member_says_what_patroni_does(
    recorded_by: str, speaks_3_0: bool, name: str, is_alive: bool, record: str
) -> None:
    cluster = FakeCluster(leader="pg2", speaks_3_0=speaks_3_0)
    cluster.stories[name].is_alive = is_alive
    answer = cluster.answer(name, "/primary", NO_QUERY)
    assert said(parse_member_answer(answer.status, answer.body)) == said(
        parse_member_answer(answer.status, recorded(recorded_by, record))
    )


def test_says_too_early_that_it_leads() -> None:
    cluster = FakeCluster(leader="pg2")
    cluster.stories["pg2"].is_promoted = False
    answer = cluster.answer("pg2", "/primary", NO_QUERY)
    assert answer.status == 200
    real = parse_member_answer(200, recorded("4.1.5", "member_primary_promoting"))
    assert said(parse_member_answer(200, answer.body)) == said(real)
    cluster.promote("pg2")
    assert parse_member_answer(200, cluster.answer("pg2", "/primary", NO_QUERY).body).accepts_writes


@pytest.mark.parametrize(
    ("path", "serving"),
    [
        ("/primary", ["pg1"]),
        ("/read-write", ["pg1"]),
        ("/leader", ["pg1"]),
        ("/standby-leader", []),
        ("/replica", ["pg2", "pg3"]),
        ("/sync", ["pg2"]),
        ("/async", ["pg3"]),
        ("/health", ["pg1", "pg2", "pg3"]),
        ("/nonsense", []),
    ],
)
def test_role_checks(path: str, serving: list[str]) -> None:
    cluster = FakeCluster()
    cluster.stories["pg2"].is_sync = True
    assert [name for name in cluster.stories if cluster.answer(name, path, NO_QUERY).status == 200] == serving


def test_a_standby_cluster_has_no_primary() -> None:
    cluster = FakeCluster()
    cluster.is_standby_cluster = True
    assert cluster.answer("pg1", "/primary", NO_QUERY).status == 503
    answer = cluster.answer("pg1", "/standby-leader", NO_QUERY)
    real = parse_member_answer(200, recorded("4.1.5", "member_standby_leader"))
    assert said(parse_member_answer(answer.status, answer.body)) == said(real)
    assert parse_cluster(cluster.answer("pg1", "/cluster", NO_QUERY).body).is_standby_cluster


@pytest.mark.parametrize(("lag_bytes", "status"), [(100, 200), (101, 503)])
def test_replicas_that_lag(lag_bytes: int, status: int) -> None:
    cluster = FakeCluster()
    cluster.stories["pg2"].lag_bytes = lag_bytes
    assert cluster.answer("pg2", "/replica", {"lag": "100"}).status == status


def test_replicas_that_want_no_load() -> None:
    cluster = FakeCluster()
    cluster.stories["pg2"].tags["noloadbalance"] = True
    assert cluster.answer("pg2", "/replica", NO_QUERY).status == 503


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.3)) as session:
        yield session


async def test_listens_refuses_and_listens_again_at_the_same_place(session: aiohttp.ClientSession) -> None:
    async with FakePatroni() as patroni:
        before = patroni.url
        assert (await session.get(before)).status == 503
        await patroni.refuse()
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(before)
        await patroni.listen()
        assert patroni.url == before
        assert (await session.get(before)).status == 503


async def test_accepts_and_stays_silent(session: aiohttp.ClientSession) -> None:
    async with FakePatroni() as patroni:
        patroni.fall_silent()
        with pytest.raises(TimeoutError):
            await session.get(patroni.url)
        assert patroni.requests == ["/"]
        patroni.speak()
        assert (await session.get(patroni.url)).status == 503


async def test_closes_after_each_answer() -> None:
    async with FakePatroni() as patroni:
        reader, writer = await asyncio.open_connection(patroni.host, patroni.port)
        writer.write(b"GET /primary HTTP/1.1\r\nHost: patroni\r\n\r\n")
        head, _, body = (await asyncio.wait_for(reader.read(), 2)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.0 503 ")
        assert body == b"{}"
        writer.close()
