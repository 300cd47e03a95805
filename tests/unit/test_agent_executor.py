"""Where a plan ends that HAProxy does not take to its end."""

from pathlib import Path
from tempfile import TemporaryDirectory

from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.agent.executor import Executor
from trunkline.model.command import Command, EndSessions, SetHealth, Stick
from trunkline.model.facts import Sticky
from trunkline.model.proxy import Health, ProcessInfo, ProxyState, ProxyView, ServerState
from trunkline.testing.fake_haproxy import FakeHAProxy

INFO = ProcessInfo(version="2.8.25", pid=4711, uptime_s=1, maxconn=1000)
PROXY = ProxyState(
    name="replicas",
    servers=tuple(
        ServerState(proxy="replicas", name=name, address="", health=health, sessions=0, queued=0)
        for name, health in (("pg1", Health.DOWN), ("pg2", Health.UP))
    ),
)


def drain(server: str, *, is_precaution: bool = False) -> Stick:
    return Stick(proxy="replicas", server=server, what=Sticky.DRAIN, reason="asked for", is_precaution=is_precaution)


async def refused(*commands: Command) -> list[bool]:
    """Of those that were tried, which HAProxy has refused; a person has drained pg1."""
    with TemporaryDirectory(prefix="executor-") as name:
        path = Path(name) / "admin.sock"
        async with FakeHAProxy(path, ProxyView(info=INFO, proxies=(PROXY,))):
            runtime = RuntimeSocket(path)
            await runtime.command("set", "server", "replicas/pg1", "state", "drain")
            await runtime.renew(5000)
            return [bool(deed.refusal) for deed in await Executor(runtime, None).perform(commands)]


async def test_a_refusal_ends_the_plan() -> None:
    assert await refused(
        drain("pg2"), drain("pg1"), SetHealth(proxy="replicas", server="pg1", is_up=False, reason="")
    ) == [
        False,
        True,
    ]


async def test_nothing_hangs_on_a_precaution() -> None:
    assert await refused(drain("pg1", is_precaution=True), drain("pg2")) == [True, False]


async def test_nor_on_a_worker_that_a_reload_has_left() -> None:
    there = EndSessions(proxy="replicas", server="pg1", worker_pid=77, reason="")
    assert await refused(there, drain("pg2")) == [True, False]
