"""`trunkline agent` beside a HAProxy that the service manager runs: members come and go there without a reload, too."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import quick_pulse
import slow_pulse
import yaml
from contract_subjects import Postgres
from supervised import free_ports

from trunkline.adapters.agent_page import METRICS, fetch
from trunkline.adapters.haproxy_binary import ask
from trunkline.adapters.haproxy_process import start
from trunkline.adapters.process_table import family
from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.config.settings import Settings
from trunkline.lab.binaries import Binary, find_haproxies
from trunkline.model.proxy import Health
from trunkline.operate.apply import apply, prepare
from trunkline.operate.places import find_haproxy
from trunkline.plan.balancer import agent_metrics_name
from trunkline.testing.fake_cluster import FakeCluster, MemberStory

pytestmark = pytest.mark.haproxy

PATIENCE_S = 20.0
POLL_S = 0.02
READ = "postgres_replicas"


class Service:
    """A HAProxy as systemd runs one, with its files in a directory as /etc/haproxy, and the agent beside it."""

    def __init__(self, root: Path, haproxy: Binary, cluster: FakeCluster) -> None:
        etc = root / "etc"
        etc.mkdir()
        self.config, self.directory, self.haproxy, self.log = (
            root / "trunkline.yml",
            root / "agent",
            haproxy,
            root / "log",
        )
        primary, replicas, stats = (f"127.0.0.1:{port}" for port in free_ports(3))
        settings = {
            "directory": str(self.directory),
            "clusters": [
                {
                    "patroni": list(cluster.urls),
                    "services": {"primary": {"bind": [primary]}, "replicas": {"bind": [replicas]}},
                }
            ],
            "stats": {"bind": [stats]},
            "haproxy": {
                "binary": str(haproxy.path),
                "config": str(etc / "haproxy.cfg"),
                "lua_file": str(etc / "trunkline.lua"),
                "state_file": str(etc / "haproxy.state"),
                "socket": str(etc / "admin.sock"),
            },
        }
        self.config.write_text(yaml.safe_dump(settings))
        self.settings = Settings.model_validate(settings)
        self.paths = find_haproxy(self.settings)
        self.runtime = RuntimeSocket(self.paths.admin_socket, timeout_s=1.0)

    @property
    def words(self) -> str:
        return self.log.read_text()

    @property
    def text(self) -> str:
        return Path(self.paths.config).read_text()

    @asynccontextmanager
    async def agent(self, *program: str) -> AsyncIterator[None]:
        with self.log.open("ab") as log:
            words = (*(program or ("-m", "trunkline")), "agent", "--config", str(self.config))
            process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=log, stderr=log)
        try:
            await self.until(lambda: "steering HAProxy" in self.words)
            yield
        finally:
            process.kill()
            await process.wait()

    async def until(self, is_so: Callable[[], bool | Awaitable[bool]]) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    found = is_so()
                    if found if isinstance(found, bool) else await found:
                        return
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise AssertionError(self.words) from None

    async def serves(self, name: str) -> bool:
        proxies = {proxy.name: proxy for proxy in await self.runtime.proxies()}
        server = proxies[READ].server(name)
        return server is not None and server.health is Health.UP

    async def rests(self, name: str) -> bool:
        return any(it.is_in_maint for it in await self.runtime.placed() if (it.proxy, it.name) == (READ, name))


@pytest.fixture(params=find_haproxies(), ids=lambda it: "haproxy-" + ".".join(map(str, it.version[:2])))
async def service(request: pytest.FixtureRequest, directory: Path, cluster: FakeCluster) -> AsyncIterator[Service]:
    service = Service(directory, request.param, cluster)
    service.directory.mkdir()
    await apply(await prepare(service.settings, service.paths, None))
    process = await start(ask(service.haproxy.path), service.paths)
    yield service
    await process.stop(drain_timeout_s=0, at_once=asyncio.Event())


async def joined(service: Service, cluster: FakeCluster) -> Postgres:
    fourth = Postgres()
    await fourth.start()
    await cluster.join(MemberStory(name="pg4", host=fourth.address[0], port=fourth.address[1]))
    return fourth


async def test_a_member_joins_and_leaves(service: Service, cluster: FakeCluster) -> None:
    workers = family(service.paths).workers
    async with service.agent():
        fourth = await joined(service, cluster)
        await service.until(lambda: service.serves("pg4"))
        assert "server pg4 " in service.text
        await cluster.leave("pg4")
        fourth.stop()
    assert (await prepare(service.settings, service.paths, None)).changed, "pg4 is remembered for a while"
    # another agent remembers it, finds that it has left, and that its server is ours
    async with service.agent(quick_pulse.__file__):
        await service.until(lambda: service.rests("pg4"))
        assert "server pg4 " not in service.text
    assert (await prepare(service.settings, service.paths, None)).is_in_sync
    assert family(service.paths).workers == workers


async def test_a_member_that_streams_is_met_there(service: Service, cluster: FakeCluster) -> None:
    """One of hundreds of clusters is asked every few seconds only who its members are."""
    async with service.agent(slow_pulse.__file__):
        asked = cluster.apis["pg1"].requests.count("/cluster")
        fourth = await joined(service, cluster)
        await service.until(lambda: service.serves("pg4"))
        assert cluster.apis["pg1"].requests.count("/cluster") <= asked + 2
        fourth.stop()


async def test_what_differs_in_more_than_members_is_for_apply(service: Service, cluster: FakeCluster) -> None:
    before = service.text.replace("retries 3", "retries 2")
    Path(service.paths.config).write_text(before)
    async with service.agent():
        fourth = await joined(service, cluster)
        await service.until(lambda: "differs from the settings in more than its members" in service.words)
        assert service.text == before
        Path(service.paths.config).write_text(before.replace("retries 2", "retries 3"))
        await service.until(lambda: "members are followed again" in service.words)
        await service.until(lambda: service.serves("pg4"))
        fourth.stop()


async def test_it_hears_of_haproxys_own_checks(service: Service, cluster: FakeCluster) -> None:
    """An API that refuses while PostgreSQL answers: three checks would take the server out within half a second."""
    async with service.agent():
        # its second round of questions: what the first has told is known everywhere by then
        before = cluster.apis["pg2"].requests.count("/cluster")
        await service.until(lambda: cluster.apis["pg2"].requests.count("/cluster") >= before + 2)
        await cluster.apis["pg2"].refuse()
        await service.until(lambda: f"trunkline stick {READ}/pg2 checks" in service.words)
        proxies = {proxy.name: proxy for proxy in await service.runtime.proxies()}
        server = proxies[READ].server("pg2")
        assert server is not None
        assert server.takes_sessions


async def test_an_agent_that_begins_while_the_one_listed_api_is_down(service: Service, cluster: FakeCluster) -> None:
    """It knows the members from the agent before it, and from `trunkline apply`."""
    settings = yaml.safe_load(service.config.read_text())
    settings["clusters"][0]["patroni"] = [cluster.apis["pg1"].url]
    service.config.write_text(yaml.safe_dump(settings))
    async with service.agent():
        await service.until(lambda: knows(service, "pg3"))
    await cluster.apis["pg1"].refuse()
    async with service.agent():
        await service.until(lambda: knows(service, "pg3"))


async def knows(service: Service, member: str) -> bool:
    """Whether the agent that runs has this member."""
    text = await fetch(agent_metrics_name(service.paths), METRICS, timeout_s=2.0)
    return f'member="{member}"' in (text or b"").decode()
