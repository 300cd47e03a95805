"""What HAProxy tells of its checks, by a real one: the first that fails is heard of, before two more follow."""

import asyncio
from pathlib import Path

import pytest
from contract_subjects import Postgres, RealSubject
from supervised import free_ports

from trunkline.adapters import check_log
from trunkline.config.settings import Settings
from trunkline.errors import HAProxyError
from trunkline.lab.binaries import Binary, find_haproxies
from trunkline.model.proxy import Health
from trunkline.plan.balancer import check_log_name
from trunkline.plan.paths import run_paths
from trunkline.testing.fake_cluster import FakeCluster
from trunkline.wire.check_log import CheckReport

pytestmark = pytest.mark.haproxy
HAPROXIES = pytest.mark.parametrize(
    "haproxy", find_haproxies(), ids=lambda it: "haproxy-" + ".".join(map(str, it.version[:2]))
)


async def first(reports: asyncio.Queue[CheckReport], *, is_ok: bool) -> CheckReport:
    async with asyncio.timeout(10):
        while True:
            report = await reports.get()
            if (report.proxy, report.server, report.is_ok) == ("postgres_primary", "pg1", is_ok):
                return report


@HAPROXIES
async def test_the_first_failed_check_is_heard_of(
    haproxy: Binary, directory: Path, cluster: FakeCluster, postgres: dict[str, Postgres]
) -> None:
    receiver = check_log.bind(check_log_name(run_paths(directory, Settings())))
    subject = RealSubject(haproxy, directory, cluster, postgres, ports=free_ports(3))
    reports: asyncio.Queue[CheckReport] = asyncio.Queue()
    hearing = asyncio.create_task(check_log.listen(receiver, reports.put_nowait, lambda: None))
    try:
        async with asyncio.timeout(15):
            await subject.start()
        cluster.stories["pg1"].is_alive = False
        report = await first(reports, is_ok=False)
        assert not report.is_silent
        view = await subject.runtime.view()
        proxy = view.proxy("postgres_primary")
        server = proxy.server("pg1") if proxy else None
        assert server is not None
        assert server.health is Health.UP
        cluster.stories["pg1"].is_alive = True
        await first(reports, is_ok=True)
    finally:
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        receiver.close()
        await subject.end()


def test_a_name_that_is_taken(directory: Path) -> None:
    name = check_log_name(run_paths(directory, Settings()))
    with check_log.bind(name), pytest.raises(HAProxyError, match="is taken"):
        check_log.bind(name)
