"""What the contract tests are run against: a fake and a real HAProxy behind one face."""

import asyncio
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from trunkline.adapters.patroni_rest import PatroniRest
from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.config.settings import Settings
from trunkline.errors import RuntimeSocketError
from trunkline.lab.binaries import Binary
from trunkline.model.desired import HostFacts
from trunkline.model.proxy import Health, ProcessInfo, ProxyState, ProxyView, ServerState, Session
from trunkline.plan.balancer import desired_balancer
from trunkline.plan.paths import run_paths
from trunkline.render.haproxy import haproxy_files
from trunkline.testing.fake_cluster import FakeCluster
from trunkline.testing.fake_haproxy import FakeHAProxy
from trunkline.wire.startup import SSL_REQUEST, startup_packet

PATIENCE_S = 10.0
PASSWORD_PLEASE, NO_TLS = b"R\0\0\0\x08\0\0\0\x03", b"N"
ANSWERS = {startup_packet(): PASSWORD_PLEASE, SSL_REQUEST: NO_TLS}
"""To an agent that asks who is there. Clients of these tests say other things."""
POLL_S = 0.02


class Postgres:
    """Accepts connections and keeps them; `clients` are the addresses that it sees. An agent that only wants to know
    whether it lives is answered, unless it `is_silent`, and is no client."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.clients: asyncio.Queue[str] = asyncio.Queue()
        self.address = (host, 0)
        self.is_silent = False
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, *self.address)
        self.address = self._server.sockets[0].getsockname()[:2]

    def refuse(self) -> None:
        """Listen no more; who is connected stays. `start` listens again, on the same port."""
        assert self._server is not None
        self._server.close()

    def stop(self) -> None:
        self.refuse()
        for writer in self._open:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        first = b""
        with suppress(ConnectionError):
            first = await reader.read(4096)
        if not self.is_silent and first in ANSWERS:
            writer.write(ANSWERS[first])
        elif first and first not in ANSWERS:
            self.clients.put_nowait(_address(writer, "peername"))
        with suppress(ConnectionError):
            while await reader.read(4096):
                pass
        self._open.discard(writer)
        writer.close()


@asynccontextmanager
async def listening(servers: dict[str, Postgres]) -> AsyncIterator[dict[str, Postgres]]:
    """All of them are there, for as long."""
    for server in servers.values():
        await server.start()
    yield servers
    for server in servers.values():
        server.stop()


class Subject(ABC):
    """One HAProxy, its admin socket, and what may happen to it."""

    def __init__(self, directory: Path, cluster: FakeCluster, postgres: dict[str, Postgres]) -> None:
        self.directory, self.cluster, self.postgres = directory, cluster, postgres
        self.runtime = RuntimeSocket(directory / "admin.sock", timeout_s=1.0)
        self.pid = 0

    @abstractmethod
    async def start(self) -> None:
        """Serve with pg1 as the primary; every server has been checked."""

    @abstractmethod
    async def end(self) -> None: ...

    @abstractmethod
    async def connect(self) -> tuple[str, str]:
        """A session with the primary: the client's address, and the one that PostgreSQL sees."""

    @abstractmethod
    async def hold_one(self) -> None:
        """No primary is there any more, and one client waits for it."""

    @abstractmethod
    def freeze(self) -> None: ...

    @abstractmethod
    def thaw(self) -> None: ...

    @abstractmethod
    async def kill(self) -> None: ...


class FakeSubject(Subject):
    async def start(self) -> None:
        self.pid = 4711
        self.fake = FakeHAProxy(self.directory / "admin.sock", self._view())
        await self.fake.__aenter__()

    async def end(self) -> None:
        await self.fake.stop()

    async def connect(self) -> tuple[str, str]:
        self.fake.sessions = (
            Session(
                session_id="0x55d5c0ffee00",
                frontend="postgres_primary",
                backend="postgres_primary",
                server="pg1",
                client="127.0.0.1:40001",
                towards_server="127.0.0.1:40002",
                age_s=0,
            ),
        )
        return "127.0.0.1:40001", "127.0.0.1:40002"

    async def hold_one(self) -> None:
        self.cluster.leader = None
        self.fake.view = self._view(held=(("postgres_primary", 1),))

    def freeze(self) -> None:
        self.fake.fall_silent()

    def thaw(self) -> None:
        self.fake.speak()

    async def kill(self) -> None:
        await self.fake.stop()

    def _view(self, held: tuple[tuple[str, int], ...] = ()) -> ProxyView:
        info = ProcessInfo(version="2.8.25-5cf5d0683", pid=self.pid, uptime_s=1, maxconn=1000)
        proxies = (
            ProxyState(name="agent_metrics", backend_status="UP"),
            self._proxy("postgres_primary", lambda name: name == self.cluster.leader),
            self._proxy("postgres_replicas", lambda name: name != self.cluster.leader),
            ProxyState(name="stats", frontend_status="OPEN"),
        )
        return ProxyView(info=info, proxies=proxies, held=held)

    def _proxy(self, name: str, serves: Callable[[str], bool]) -> ProxyState:
        hold = ServerState(
            proxy=name, name="hold", address="", health=Health.NO_CHECK, sessions=0, queued=0, is_backup=True
        )
        members = [self._server(name, member, serves(member)) for member in self.postgres]
        return ProxyState(name=name, frontend_status="OPEN", backend_status="UP", servers=(hold, *members))

    def _server(self, proxy: str, member: str, is_up: bool) -> ServerState:
        return ServerState(
            proxy=proxy,
            name=member,
            address=_joined(self.postgres[member].address),
            health=Health.UP if is_up else Health.DOWN,
            sessions=0,
            queued=0,
            check_status="L7OK" if is_up else "L7STS",
            check_code=200 if is_up else 503,
            check_description="Layer7 check passed" if is_up else "Layer7 wrong status: Service Unavailable",
            check_duration_ms=1,
            sessions_limit=92,
        )


class RealSubject(Subject):
    def __init__(
        self,
        haproxy: Binary,
        directory: Path,
        cluster: FakeCluster,
        postgres: dict[str, Postgres],
        *,
        ports: list[int],
    ) -> None:
        super().__init__(directory, cluster, postgres)
        self.haproxy, self.ports = haproxy, ports
        self.arguments: tuple[str, ...] = ("-db",)
        self.settings: dict[str, object] = {}
        self._clients: list[asyncio.StreamWriter] = []

    async def start(self) -> None:
        config = await self._write_files()
        with (self.directory / "haproxy.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                self.haproxy.path, *self.arguments, "-f", config, stdout=log, stderr=log
            )
        self.pid = self._process.pid
        await self._until(lambda view: (view.proxy("postgres_replicas") is not None) and _is_settled(view))

    async def end(self) -> None:
        for client in self._clients:
            client.close()
        if self._process.returncode is None:
            self.thaw()
            self._process.kill()
        await self._process.wait()

    async def terminate(self) -> None:
        """End as HAProxy ends by itself, its workers with it."""
        self._process.terminate()
        async with asyncio.timeout(PATIENCE_S):
            await self._process.wait()

    async def connect(self) -> tuple[str, str]:
        client = await self._knock()
        async with asyncio.timeout(PATIENCE_S):
            return client, await self.postgres["pg1"].clients.get()

    async def hold_one(self) -> None:
        self.cluster.leader = None
        await self._until(lambda view: _health(view, "pg1") is Health.DOWN)
        await self._knock()
        await self._until(lambda view: view.held_at("postgres_primary") > 0)

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()

    async def _knock(self) -> str:
        _, writer = await asyncio.open_connection("127.0.0.1", self.ports[0])
        self._clients.append(writer)
        writer.write(b"\0\0\0\x08\0\x03\0\0")
        return _address(writer, "sockname")

    async def _until(self, is_so: Callable[[ProxyView], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if await self._sees(is_so):
                    return
                await asyncio.sleep(POLL_S)

    async def _sees(self, is_so: Callable[[ProxyView], bool]) -> bool:
        if self._process.returncode is not None:
            raise RuntimeError((self.directory / "haproxy.log").read_text())
        try:
            return is_so(await self.runtime.view())
        except RuntimeSocketError:
            return False

    async def _write_files(self) -> Path:
        primary, replicas, stats = (f"127.0.0.1:{port}" for port in self.ports)
        services = {"primary": {"bind": [primary]}, "replicas": {"bind": [replicas]}}
        settings = Settings.model_validate(
            {"clusters": [{"patroni": list(self.cluster.urls), "services": services}], "stats": {"bind": [stats]}}
            | self.settings
        )
        chosen = settings.clusters[0]
        async with PatroniRest(chosen.api) as patroni:
            view = await patroni.view(self.cluster.urls)
        host = HostFacts(file_limit=4096, haproxy_version=(self.haproxy.version[0], self.haproxy.version[1]))
        paths = run_paths(self.directory, settings)
        for file in haproxy_files(desired_balancer(settings, (view,), host, paths)):
            Path(file.path).write_text(file.text)
        return Path(paths.config)


def _is_settled(view: ProxyView) -> bool:
    ups = {(proxy.name, one.name) for proxy in view.proxies for one in proxy.servers if one.health is Health.UP}
    wanted = {("postgres_primary", "pg1"), ("postgres_replicas", "pg2"), ("postgres_replicas", "pg3")}
    others = [one for proxy in view.proxies for one in proxy.servers if one.health is not Health.NO_CHECK]
    return ups == wanted and all(one.check_status.startswith("L7") for one in others)


def _health(view: ProxyView, member: str) -> Health | None:
    proxy = view.proxy("postgres_primary")
    server = proxy.server(member) if proxy else None
    return server.health if server else None


def _address(writer: asyncio.StreamWriter, which: str) -> str:
    return _joined(writer.get_extra_info(which))


def _joined(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"
