"""`trunkline run` and real HAProxies where a cluster is not at plain IPv4 addresses with plain names."""

import asyncio
import base64
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from contract_subjects import Postgres, listening
from supervised import STARTUP, Supervised, free_ports

from tests.authority import Authority, new_authority, server_tls
from trunkline.lab.binaries import Binary, find_haproxies
from trunkline.model.proxy import Health, ServerState
from trunkline.testing.fake_cluster import FakeCluster
from trunkline.testing.fake_patroni import FakePatroni
from trunkline.wire.names import to_haproxy

pytestmark = [pytest.mark.haproxy, pytest.mark.slow]

ODD_NAMES = ("größe/1", "pg 2", "hold", "#3 'x\" $HOME")
PASSWORD = 's3crét:"\\ $x'
PATIENCE_S = 30.0
IMPOSTOR_TRIES_S = 1.0
"""Ten checks."""


@pytest.fixture(params=find_haproxies(), ids=lambda it: "haproxy-" + ".".join(map(str, it.version[:2])))
def haproxy(request: pytest.FixtureRequest) -> Binary:
    chosen: Binary = request.param
    return chosen


HAPROXY_ALONE: dict[str, object] = {"agent": {"enabled": False}}
"""Of what is believed HAProxy itself is asked; these members have no PostgreSQL."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return new_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def another_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return new_authority(tmp_path_factory.mktemp("another"))


@asynccontextmanager
async def serving(
    directory: Path, haproxy: Binary, cluster: FakeCluster, **settings: object
) -> AsyncIterator[Supervised]:
    """`trunkline run` with these settings, too; the primary's port leads to the leader."""
    run = Supervised(directory, haproxy, cluster.urls)
    run.settings |= settings
    try:
        await run.start()
        await run.until(run.leads_to(to_haproxy(str(cluster.leader))))
        yield run
    finally:
        await run.end()


async def status(run: Supervised) -> tuple[int | None, Any]:
    """The exit code of `trunkline status`, and what it says of the cluster."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trunkline", "status", "--json"),
        *("--config", run.config, "--dir", run.directory),
        stdout=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")},
    )
    told, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    return process.returncode, json.loads(told)["clusters"][0]


def replica(run: Supervised, member: str, is_so: Callable[[ServerState], bool]) -> Callable[[], Any]:
    """Whether HAProxy's view of this member, among the replicas, is so."""

    async def ask() -> bool:
        view = await run.view()
        proxy = view.proxy("postgres_replicas") if view else None
        server = proxy.server(to_haproxy(member)) if proxy else None
        return server is not None and is_so(server)

    return ask


@asynccontextmanager
async def postgres_of(*members: str) -> AsyncIterator[dict[str, tuple[str, int]]]:
    """Where each of these has a PostgreSQL that answers."""
    async with listening({name: Postgres() for name in members}) as servers:
        yield {name: server.address for name, server in servers.items()}


async def test_names_that_haproxy_does_not_take(directory: Path, haproxy: Binary) -> None:
    async with (
        postgres_of(*ODD_NAMES) as places,
        FakeCluster(ODD_NAMES, leader=ODD_NAMES[0], scope="bücher & co", postgres=places) as cluster,
        serving(directory, haproxy, cluster) as run,
    ):
        for name in ODD_NAMES[1:]:
            await run.until(replica(run, name, lambda server: server.takes_sessions))

        async def is_primary_up() -> bool:
            return (await status(run))[0] == 0

        await run.until(is_primary_up)
        code, told = await status(run)
        assert (code, told["scope"], told["leader"]) == (0, "bücher & co", ODD_NAMES[0])
        assert [member["name"] for member in told["members"]] == sorted(ODD_NAMES)
        services = {service["kind"]: sorted(service["members"]) for service in told["services"]}
        assert services == {"primary": [ODD_NAMES[0]], "replicas": sorted(ODD_NAMES[1:])}
        cluster.promote(ODD_NAMES[2])
        await run.until(run.leads_to(to_haproxy(ODD_NAMES[2])))


@pytest.fixture
async def postgres_at_six() -> AsyncIterator[Postgres]:
    """A server where there is IPv6, at least on loopback."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("this machine has no IPv6")
    server = Postgres("::1")
    await server.start()
    yield server
    server.stop()


async def test_ipv6_alone(directory: Path, haproxy: Binary, postgres_at_six: Postgres) -> None:
    primary, replicas, stats, _ = free_ports(4)
    settings = {
        "services": {"primary": {"bind": [f"[::1]:{primary}"]}, "replicas": {"bind": [f"[::1]:{replicas}"]}},
        "stats": {"bind": [f"[::1]:{stats}"]},
    }
    async with (
        FakeCluster(host="::1", postgres={"pg1": postgres_at_six.address}) as cluster,
        serving(directory, haproxy, cluster, **settings) as run,
    ):
        _, writer = await asyncio.open_connection("::1", primary)
        client = "{}:{}".format(*writer.get_extra_info("sockname"))
        writer.write(STARTUP)
        async with asyncio.timeout(PATIENCE_S):
            via = await postgres_at_six.clients.get()
        code, told = await status(run)
        first, service = told["members"][0], told["services"][0]
        assert (code, service["listens"]) == (0, [f"[::1]:{primary}"])
        assert (first["address"], first["api_url"]) == (
            f"[::1]:{postgres_at_six.address[1]}",
            f"{cluster.urls[0]}/patroni",
        )
        writer.close()
        await run.said(f"session client={client} frontend=postgres_primary server=postgres_primary/pg1 via={via} ")


async def test_an_api_with_tls_that_asks_for_a_client_certificate(
    directory: Path, haproxy: Binary, authority: Authority, another_authority: Authority
) -> None:
    """HAProxy shows the certificate, and believes nobody whose own is of another authority."""
    tls = server_tls(authority, asks_for_client=True)
    mine = authority.issue("client", "DNS:trunkline")
    async with FakeCluster(tls=tls) as cluster:
        api = {"ca_file": str(authority.ca), "cert_file": str(mine)}
        async with serving(directory, haproxy, cluster, api=api, **HAPROXY_ALONE) as run:
            await run.until(replica(run, "pg2", lambda server: server.takes_sessions))
            port = cluster.apis["pg2"].port
            await cluster.apis["pg2"].refuse()
            await run.until(replica(run, "pg2", lambda server: server.health is Health.DOWN))
            story = {path: cluster.answer("pg2", path, {}) for path in ("/replica", "/primary", "/cluster")}
            async with FakePatroni(story, port=port, tls=server_tls(another_authority)) as impostor:
                await run.until(replica(run, "pg2", lambda server: server.check_status == "L6RSP"))
                await asyncio.sleep(IMPOSTOR_TRIES_S)
                assert not impostor.requests
                assert await replica(run, "pg2", lambda server: server.health is Health.DOWN)()
            await cluster.apis["pg2"].listen()
            await run.until(replica(run, "pg2", lambda server: server.takes_sessions))


async def test_a_name_in_the_certificate_is_the_one_that_is_believed(
    directory: Path, haproxy: Binary, authority: Authority
) -> None:
    tls = server_tls(authority, "DNS:patroni.example.org")
    api = {"ca_file": str(authority.ca), "server_name": "patroni.example.org"}
    async with FakeCluster(tls=tls) as cluster, serving(directory, haproxy, cluster, api=api, **HAPROXY_ALONE) as run:
        port = cluster.apis["pg2"].port
        await run.until(replica(run, "pg2", lambda server: server.takes_sessions))
        await cluster.apis["pg2"].refuse()
        story = {path: cluster.answer("pg2", path, {}) for path in ("/replica", "/primary", "/cluster")}
        async with FakePatroni(story, port=port, tls=server_tls(authority, "DNS:another.example.net")) as impostor:
            await run.until(replica(run, "pg2", lambda server: server.check_status == "L6RSP"))
            assert not impostor.requests


async def test_checks_that_are_authenticated(directory: Path, haproxy: Binary) -> None:
    api = {"username": "ann", "password": PASSWORD, "authenticate_checks": True}
    async with (
        postgres_of("pg1", "pg2", "pg3") as places,
        FakeCluster(login=("ann", PASSWORD), postgres=places) as cluster,
        serving(directory, haproxy, cluster, api=api) as run,
    ):
        await run.until(replica(run, "pg2", lambda server: server.takes_sessions))
        assert (await status(run))[0] == 0
        asked = cluster.apis["pg1"].requests
        assert asked.count("/primary") > 1
        assert oct((run.directory / "haproxy.cfg").stat().st_mode & 0o777) == oct(0o600)
        secret = base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
        assert secret in (run.directory / "haproxy.cfg").read_text()
        assert PASSWORD not in run.words
        assert secret not in run.words
