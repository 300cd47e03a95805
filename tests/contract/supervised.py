"""`trunkline run` as a process of its own, in front of a fake cluster, with a real HAProxy under it."""

import asyncio
import os
import random
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any, BinaryIO

import quick_pulse
import yaml
from contract_subjects import Postgres

from trunkline.adapters.process_table import Family, command_line, family
from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.config.settings import Settings
from trunkline.errors import RuntimeSocketError
from trunkline.lab.binaries import Binary
from trunkline.model.proxy import ProxyView
from trunkline.plan.balancer import agent_metrics_name
from trunkline.plan.paths import run_paths

PATIENCE_S = 20.0
POLL_S = 0.02
FIRST_PORT, LAST_PORT, PORTS_PER_WORKER = 16_000, 32_000, 1_000
STARTUP = b"\0\0\0\x08\0\x03\0\0"


def free_ports(count: int) -> list[int]:
    """Ports where nobody listens, below those that the kernel gives to clients: a check of some HAProxy would have
    one of them sooner or later. Each worker of a parallel run has a range of its own, and takes no port twice."""
    found: list[int] = []
    while len(found) < count:
        port = next(PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
    return found


def _ports() -> Iterator[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    begin = FIRST_PORT + worker * PORTS_PER_WORKER % (LAST_PORT - FIRST_PORT)
    start = random.randrange(PORTS_PER_WORKER)
    return cycle(begin + (start + number) % PORTS_PER_WORKER for number in range(PORTS_PER_WORKER))


PORTS = _ports()


class Supervised:
    """One directory and one settings file, in which `trunkline run` is started, killed and started again."""

    def __init__(self, root: Path, haproxy: Binary, urls: tuple[str, ...]) -> None:
        self.directory, self.config = root / "run", root / "trunkline.yml"
        self._logs: list[Path] = []
        self.paths = run_paths(self.directory, Settings())
        self.agent_page = agent_metrics_name(self.paths)
        self.ports = free_ports(4)
        self.settings: dict[str, Any] = {
            "patroni": list(urls),
            "services": {
                "primary": {"bind": [f"127.0.0.1:{self.ports[0]}"]},
                "replicas": {"bind": [f"127.0.0.1:{self.ports[1]}"]},
            },
            "stats": {"bind": [f"127.0.0.1:{self.ports[2]}"]},
            "haproxy": {"binary": str(haproxy.path), "drain_timeout_s": 0.5},
        }
        self.runtime = RuntimeSocket(self.paths.admin_socket, timeout_s=1.0)
        self._processes: list[asyncio.subprocess.Process] = []
        self.clients: list[asyncio.StreamWriter] = []

    def write(self, changed: Mapping[str, object] | None = None) -> None:
        """The settings, with other values of some sections."""
        self.config.write_text(yaml.safe_dump(self.settings | dict(changed or {})))

    async def start(self, *program: str) -> None:
        """Back when the process runs; `program`: what to start in place of the one with the quick pulse."""
        if not self.config.exists():
            self.write()
        with self.new_log() as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, *(program or (quick_pulse.__file__,))),
                *("run", "--config", self.config, "--dir", self.directory),
                stdout=log,
                stderr=log,
                env={name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")},
            )
        self._processes.append(process)

    async def serve(self) -> None:
        """Back when the supervisor is content, and clients of 5000 would reach pg1."""
        before = self.words.count("HAProxy serves")
        await self.start()
        await self.said("HAProxy serves", before + 1)
        await self.until(self.leads_to("pg1"))

    async def end(self) -> None:
        """Nothing of it is left, whatever the test has left."""
        for client in self.clients:
            client.close()
        for process in self._processes:
            if process.returncode is None:
                process.kill()
            await process.wait()
        for pid in (*self.family.pids, *self.agents):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self.until(lambda: not self.family.pids and not self.agents)

    def new_log(self) -> BinaryIO:
        """For what one process and its children say. HAProxy takes O_APPEND from the file that it logs to, for all who
        share it: others who write to the same file would be overwritten."""
        self._logs.append(self.config.with_name(f"run-{len(self._logs)}.log"))
        return self._logs[-1].open("ab")

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The supervisor that was started last."""
        return self._processes[-1]

    @property
    def family(self) -> Family:
        """HAProxy's processes."""
        return family(self.paths)

    @property
    def agents(self) -> tuple[int, ...]:
        """Agents of this directory. One that has only just begun notices a little later that its parent is gone."""
        running = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
        return tuple(pid for pid in running if {"agent", str(self.directory)} <= set(command_line(pid)))

    @property
    def words(self) -> str:
        """What all of them have said."""
        return "".join(log.read_text(errors="replace") for log in self._logs)

    def heeds(self, number: signal.Signals) -> bool:
        """Whether the supervisor handles this signal, or at least keeps it until it can."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        masks = [int(mask, 16) for mask in re.findall(r"Sig(?:Blk|Cgt):\t([0-9a-f]+)", status)]
        return any(mask & (1 << (number - 1)) for mask in masks)

    async def ended(self) -> int:
        """The exit code of the supervisor."""
        try:
            return await asyncio.wait_for(self.process.wait(), PATIENCE_S)
        except TimeoutError:
            raise AssertionError(f"the supervisor has not ended; the log:\n{self.words}") from None

    async def connect(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client that has said hello."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self.clients.append(writer)
        writer.write(STARTUP)
        return reader, writer

    async def session(self, postgres: Mapping[str, Postgres]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client that PostgreSQL has seen."""
        client = await self.connect(self.ports[0])
        async with asyncio.timeout(PATIENCE_S):
            await postgres["pg1"].clients.get()
        return client

    async def stop(self) -> None:
        """Ask the supervisor to stop; it has, and so has HAProxy."""
        self.process.send_signal(signal.SIGTERM)
        assert await self.ended() == 0, self.words
        assert self.family.pids == ()

    async def said(self, words: str, times: int = 1) -> None:
        """Back when the log has these words so often."""
        await self.until(lambda: self.words.count(words) >= times)

    async def view(self) -> ProxyView | None:
        """What HAProxy says, if it does."""
        try:
            return await self.runtime.view()
        except RuntimeSocketError:
            return None

    def leads_to(self, *members: str) -> Callable[[], Any]:
        """Whether new sessions of the primary's port go to these, and to nobody else."""

        async def is_so() -> bool:
            view = await self.view()
            proxy = view.proxy("postgres_primary") if view else None
            servers = proxy.servers if proxy else ()
            return {one.name for one in servers if one.takes_sessions and not one.is_backup} == set(members)

        return is_so

    def knows(self, *members: str) -> Callable[[], Any]:
        """Whether HAProxy has these servers, and no others."""

        async def is_so() -> bool:
            view = await self.view()
            proxy = view.proxy("postgres_primary") if view else None
            return proxy is not None and {one.name for one in proxy.servers if not one.is_backup} == set(members)

        return is_so

    async def until(self, is_so: Callable[[], Any]) -> None:
        """Back when something has become true; what was said meanwhile is shown when it does not."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    found = is_so()
                    if await found if asyncio.iscoroutine(found) else found:
                        return
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise AssertionError(f"it has not become true; the log:\n{self.words}") from None
