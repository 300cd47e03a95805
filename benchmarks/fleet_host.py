"""The fleet of the benchmark: many small clusters and one HAProxy in front of them, all simulated, in this one process.

    python -m benchmarks.fleet_host DIRECTORY CLUSTERS

Orders come as lines of JSON on stdin, answers go as lines of JSON to stdout; it ends with stdin. Times are of the
monotonic clock, which all processes of a machine share. Owns what happens to the fleet, and measures nothing.
"""

import asyncio
import itertools
import json
import random
import resource
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from trunkline.config.settings import Settings
from trunkline.lab.ports import is_free
from trunkline.model.proxy import Health, ProcessInfo, ProxyState, ProxyView, ServerState
from trunkline.plan.paths import run_paths
from trunkline.testing.fake_cluster import FakeCluster
from trunkline.testing.fake_haproxy import FakeHAProxy

MEMBERS = ("pg1", "pg2", "pg3", "pg4")
FIRST_PORT = 5432
"""Of PostgreSQL, or the next one that is free: another fleet may run."""

PASSWORD_PLEASE = b"R\0\0\0\x08\0\0\0\x03"
GAP_S = (0.2, 3.0)
"""From the old primary's last moment to the new one's first: Patroni's own gap."""

CHECKED_S = 0.5
"""So long after a change the checks of HAProxy find it out, for the replicas' ports."""

FIRST_BIND = 20_000
TOLD = ("set server", "trunkline close")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleChange:
    """One of them: `ended_s`, the old primary's API has said that it stops; `promoted_s`, the new one takes writes."""

    scope: str
    old: str
    new: str
    ended_s: float
    promoted_s: float


class ListeningHAProxy(FakeHAProxy):
    """Remembers when it was told what."""

    def __init__(self, path: str, view: ProxyView) -> None:
        super().__init__(path, view)
        self.told: list[tuple[float, str]] = []

    def reply(self, command: str) -> str:
        if command.startswith(TOLD):
            self.told.append((time.monotonic(), command))
        answer = super().reply(command)
        self.commands.clear()
        return answer


class Fleet:
    """`count` clusters of four."""

    def __init__(self, directory: Path, count: int) -> None:
        self._directory = directory
        self._port = next(port for port in itertools.count(FIRST_PORT) if is_free(_host(0, 1), port))
        self.clusters = [_cluster(number, self._port) for number in range(count)]
        self.haproxy = ListeningHAProxy(run_paths(directory, Settings()).admin_socket, _view(self.clusters))

    async def open(self, stack: AsyncExitStack) -> None:
        """Listen everywhere, and write the settings for it."""
        for cluster in self.clusters:
            await stack.enter_async_context(cluster)
        hosts = [story.host for cluster in self.clusters for story in cluster.stories.values()]
        await stack.enter_async_context(await asyncio.start_server(_greet, hosts, self._port))
        await stack.enter_async_context(self.haproxy)
        (self._directory / "trunkline.yml").write_text(yaml.safe_dump(self._settings()))

    async def play(self, changes: int, every_s: float, seed: int) -> list[RoleChange]:
        """So many role changes in clusters of its choice, the same ones for the same seed; back when all are over."""
        chance = random.Random(seed)
        playing: list[asyncio.Task[RoleChange]] = []
        order: list[FakeCluster] = []
        for _ in range(changes):
            if not order:
                order = chance.sample(self.clusters, len(self.clusters))
            cluster, gap_s = order.pop(), chance.uniform(*GAP_S)
            new = chance.choice([name for name in MEMBERS if name != cluster.leader])
            playing.append(asyncio.create_task(self._change(cluster, new, gap_s)))
            await asyncio.sleep(chance.uniform(0.5, 1.5) * every_s)
        return list(await asyncio.gather(*playing))

    def asked(self) -> dict[str, int]:
        """How often which path was asked for, of all members together, and of whom least often for /primary."""
        counts: dict[str, int] = {}
        for cluster in self.clusters:
            for api in cluster.apis.values():
                for path in api.requests:
                    counts[path] = counts.get(path, 0) + 1
        per_member = (api.requests.count("/primary") for cluster in self.clusters for api in cluster.apis.values())
        return counts | {"least": min(per_member)}

    def forget(self) -> None:
        """What was asked and told until now."""
        self.haproxy.told.clear()
        for cluster in self.clusters:
            for api in cluster.apis.values():
                api.requests.clear()

    async def _change(self, cluster: FakeCluster, new: str, gap_s: float) -> RoleChange:
        old = cluster.leader
        assert old is not None
        cluster.stories[old].is_stopping = True
        ended_s = time.monotonic()
        await asyncio.sleep(gap_s)
        cluster.promote(new)
        promoted_s = time.monotonic()
        await asyncio.sleep(CHECKED_S)
        cluster.stories[old].is_stopping = False
        self.haproxy.check_finds(f"{cluster.scope}_postgres_replicas/{old}", Health.UP)
        self.haproxy.check_finds(f"{cluster.scope}_postgres_replicas/{new}", Health.DOWN)
        return RoleChange(scope=cluster.scope, old=old, new=new, ended_s=ended_s, promoted_s=promoted_s)

    def _settings(self) -> Mapping[str, object]:
        return {
            "directory": str(self._directory),
            "clusters": [
                {
                    "scope": cluster.scope,
                    "patroni": list(cluster.urls),
                    "services": {
                        "primary": {"bind": [f"127.0.0.1:{FIRST_BIND + 2 * number}"]},
                        "replicas": {"bind": [f"127.0.0.1:{FIRST_BIND + 2 * number + 1}"]},
                    },
                }
                for number, cluster in enumerate(self.clusters)
            ],
        }


def _host(cluster: int, member: int) -> str:
    return f"127.20.{cluster}.{member}"


def _cluster(number: int, port: int) -> FakeCluster:
    hosts = {name: _host(number, place) for place, name in enumerate(MEMBERS, start=1)}
    return FakeCluster(
        MEMBERS,
        scope=f"c{number:03}",
        host=_host(number, 1),
        postgres={name: (host, port) for name, host in hosts.items()},
    )


def _view(clusters: list[FakeCluster]) -> ProxyView:
    proxies = tuple(
        ProxyState(
            name=f"{cluster.scope}_postgres_{service}",
            frontend_status="OPEN",
            backend_status="UP",
            servers=tuple(
                ServerState(
                    proxy=f"{cluster.scope}_postgres_{service}",
                    name=story.name,
                    address=f"{story.host}:{story.port}",
                    health=Health.UP if (story.name == cluster.leader) is leads else Health.DOWN,
                    sessions=0,
                    queued=0,
                    check_status="L7OK",
                )
                for story in cluster.stories.values()
            ),
        )
        for cluster in clusters
        for service, leads in (("primary", True), ("replicas", False))
    )
    return ProxyView(info=ProcessInfo(version="2.8.25", pid=1, uptime_s=1, maxconn=1000), proxies=proxies)


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """PostgreSQL: it asks whoever says something for a password."""
    try:
        if await reader.read(4096):
            writer.write(PASSWORD_PLEASE)
        while await reader.read(4096):
            pass
    except ConnectionError:
        pass
    finally:
        writer.close()


async def _obey(fleet: Fleet, order: Mapping[str, float]) -> object:
    match order["do"]:
        case "play":
            changes = await fleet.play(int(order["changes"]), order["every_s"], int(order["seed"]))
            return [asdict(change) for change in changes]
        case "asked":
            return fleet.asked()
        case "told":
            return fleet.haproxy.told
        case "forget":
            fleet.forget()
    return None


async def serve(directory: Path, count: int) -> None:
    """Until stdin ends."""
    async with AsyncExitStack() as stack:
        fleet = Fleet(directory, count)
        await fleet.open(stack)
        print(json.dumps("ready"), flush=True)
        orders = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
        while line := await orders.readline():
            print(json.dumps(await _obey(fleet, json.loads(line))), flush=True)


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
