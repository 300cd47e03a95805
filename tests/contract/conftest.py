"""The same questions to the fake HAProxy and to each real one.

`subject` is a HAProxy in front of three members, pg1 the primary, with our configuration; what `FakeHAProxy` is told
by hand, a real one finds out from `FakeCluster` by its own checks.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from contract_subjects import FakeSubject, Postgres, RealSubject, Subject, listening
from supervised import Supervised, free_ports

from trunkline.lab.binaries import Binary, find_haproxies
from trunkline.testing.fake_cluster import FakeCluster

MEMBERS = ("pg1", "pg2", "pg3")
KINDS = [
    pytest.param(None, id="fake"),
    *(
        pytest.param(haproxy, id="haproxy-" + ".".join(map(str, haproxy.version[:2])), marks=pytest.mark.haproxy)
        for haproxy in find_haproxies()
    ),
]


@pytest.fixture
def directory() -> Iterator[Path]:
    """Not pytest's own: its path may be too long for a unix socket."""
    with TemporaryDirectory(prefix="contract-") as name:
        yield Path(name)


@pytest.fixture
async def postgres() -> AsyncIterator[dict[str, Postgres]]:
    """A server for each member, that accepts and waits."""
    async with listening({name: Postgres() for name in MEMBERS}) as servers:
        yield servers


@pytest.fixture
async def fourth() -> AsyncIterator[Postgres]:
    """Of a member that comes while HAProxy runs."""
    postgres = Postgres()
    await postgres.start()
    yield postgres
    postgres.stop()


@pytest.fixture
async def cluster(postgres: dict[str, Postgres]) -> AsyncIterator[FakeCluster]:
    async with FakeCluster(MEMBERS, postgres={name: one.address for name, one in postgres.items()}) as cluster:
        yield cluster


@pytest.fixture(params=KINDS)
async def subject(
    request: pytest.FixtureRequest, directory: Path, cluster: FakeCluster, postgres: dict[str, Postgres]
) -> AsyncIterator[Subject]:
    haproxy: Binary | None = request.param
    chosen: Subject = (
        FakeSubject(directory, cluster, postgres)
        if haproxy is None
        else RealSubject(haproxy, directory, cluster, postgres, ports=free_ports(3))
    )
    async with asyncio.timeout(15):
        await chosen.start()
    yield chosen
    await chosen.end()


@pytest.fixture(params=find_haproxies(), ids=lambda it: "haproxy-" + ".".join(map(str, it.version[:2])))
async def run(request: pytest.FixtureRequest, directory: Path, cluster: FakeCluster) -> AsyncIterator[Supervised]:
    """`trunkline run`, not yet started, in front of the same members."""
    supervised = Supervised(directory, request.param, cluster.urls)
    yield supervised
    await supervised.end()
