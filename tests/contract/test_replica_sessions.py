"""Sessions at replicas that end for a deadline, a promotion or their number, in real HAProxies; and why none of ours
has `slowstart`."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from contract_subjects import Postgres, RealSubject
from supervised import free_ports
from test_lease import until

from trunkline.agent.executor import Executor
from trunkline.errors import RuntimeSocketError
from trunkline.lab.binaries import Binary, find_haproxies
from trunkline.model.cluster import Role
from trunkline.model.desired import ServiceKind
from trunkline.model.facts import MemberFacts, RestFact, Situation
from trunkline.model.proxy import Health, ProxyState, ServerState
from trunkline.plan.replicas import ReplicaPolicy, closed_since, quiet_since, rebalance, steer_replicas
from trunkline.testing.fake_cluster import FakeCluster
from trunkline.wire.patroni import parse_member_answer

pytestmark = [
    pytest.mark.haproxy,
    pytest.mark.parametrize(
        "haproxy", find_haproxies(), ids=lambda it: "haproxy-" + ".".join(map(str, it.version[:2]))
    ),
]

PROXY = "postgres_replicas"
STARTUP = b"\0\0\0\x08\0\x03\0\0"
DEADLINE_S = 2.0
CLIENTS = 12


class Client(asyncio.Protocol):
    """Says that it is there, and notices when it is not wanted."""

    def __init__(self) -> None:
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(STARTUP)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True


@pytest.fixture
async def subject(
    haproxy: Binary, directory: Path, cluster: FakeCluster, postgres: dict[str, Postgres]
) -> AsyncIterator[RealSubject]:
    real = RealSubject(haproxy, directory, cluster, postgres, ports=free_ports(3))
    async with asyncio.timeout(15):
        await real.start()
    yield real
    await real.end()


async def connect(subject: RealSubject, count: int) -> list[Client]:
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(Client, "127.0.0.1", subject.ports[1]))[1] for _ in range(count)]


async def state(subject: RealSubject) -> ProxyState:
    proxy = (await subject.runtime.view()).proxy(PROXY)
    assert proxy is not None
    return proxy


async def server(subject: RealSubject, name: str) -> ServerState:
    found = (await state(subject)).server(name)
    assert found is not None
    return found


async def is_in(subject: RealSubject, name: str, health: Health) -> None:
    async def is_so() -> bool:
        return (await server(subject, name)).health is health

    await until(is_so)


async def has_sessions(subject: RealSubject, name: str, count: int) -> None:
    async def is_so() -> bool:
        return (await server(subject, name)).sessions == count

    await until(is_so)


def facts(cluster: FakeCluster, name: str) -> MemberFacts:
    """As the agent asks it."""
    told = cluster.answer(name, "/primary", {})
    return MemberFacts(
        name=name, server=name, rest=RestFact(answer=parse_member_answer(told.status, told.body), age_s=0.0)
    )


async def situation(subject: RealSubject) -> Situation:
    members = tuple(facts(subject.cluster, name) for name in subject.cluster.stories)
    return Situation(scope="demo", kind=ServiceKind.REPLICAS, state=await state(subject), members=members)


async def steer_until_empty(subject: RealSubject, policy: ReplicaPolicy, name: str) -> float:
    """As cycles of the agent do; how long it took until the replica had no session."""
    began, since = time.monotonic(), dict[str, float]()
    async with asyncio.timeout(DEADLINE_S + 10):
        while True:
            seen, now = await situation(subject), time.monotonic()
            since = dict(closed_since(since, seen.state, now))
            deeds = await Executor(subject.runtime, None).perform(steer_replicas(seen, policy, since, now).commands)
            assert not any(deed.refusal for deed in deeds)
            found = seen.state.server(name)
            if found is not None and not found.sessions:
                return now - began
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("how", ["tag", "drain"])
async def test_sessions_end_with_the_deadline_and_not_before(subject: RealSubject, how: str) -> None:
    clients = await connect(subject, CLIENTS)
    await has_sessions(subject, "pg2", CLIENTS // 2)
    await asyncio.sleep(1.2)  # its state is older than the deadline will be
    if how == "tag":
        subject.cluster.stories["pg2"].tags["noloadbalance"] = True
        await is_in(subject, "pg2", Health.NOLB)
    else:
        await subject.runtime.command("set", "server", f"{PROXY}/pg2", "state", "drain")
        await is_in(subject, "pg2", Health.DRAIN)
    took_s = await steer_until_empty(subject, ReplicaPolicy(drain_deadline_s=DEADLINE_S), "pg2")
    assert took_s > DEADLINE_S - 1.1  # HAProxy counts whole seconds
    await asyncio.sleep(0.2)
    assert sum(client.is_lost for client in clients) == CLIENTS // 2
    assert (await server(subject, "pg3")).sessions == CLIENTS // 2
    for client in clients:
        client.transport.close()


async def test_a_promoted_replica_keeps_its_sessions_unless_asked(subject: RealSubject) -> None:
    clients = await connect(subject, CLIENTS)
    await has_sessions(subject, "pg2", CLIENTS // 2)
    subject.cluster.promote("pg2")
    await is_in(subject, "pg2", Health.DOWN)
    seen = await situation(subject)
    assert {it.name: it.rest.answer.role for it in seen.members if it.rest and it.rest.answer}["pg2"] is Role.PRIMARY
    assert steer_replicas(seen, ReplicaPolicy(), {}, time.monotonic()).commands == ()
    assert (await server(subject, "pg2")).sessions == CLIENTS // 2
    await steer_until_empty(subject, ReplicaPolicy(end_sessions_on_promotion=True), "pg2")
    await asyncio.sleep(0.2)
    assert sum(client.is_lost for client in clients) == CLIENTS // 2
    for client in clients:
        client.transport.close()


async def test_idle_sessions_are_evened_out_one_by_one(subject: RealSubject) -> None:
    subject.cluster.stories["pg3"].tags["noloadbalance"] = True
    await is_in(subject, "pg3", Health.NOLB)
    clients = await connect(subject, CLIENTS)
    await has_sessions(subject, "pg2", CLIENTS)
    del subject.cluster.stories["pg3"].tags["noloadbalance"]
    await is_in(subject, "pg3", Health.UP)
    quiet = quiet_since({}, await subject.runtime.sessions(), 0.0)
    busy = clients[0]
    busy.transport.write(b"select 1")
    await asyncio.sleep(0.2)
    quiet = quiet_since(quiet, await subject.runtime.sessions(), 60.0)
    assert sorted(it.at for it in quiet.values()) == [0.0] * (CLIENTS - 1) + [60.0]
    policy = ReplicaPolicy(rebalance_per_s=2, rebalance_idle_s=60.0)
    plan = rebalance(await state(subject), policy, quiet, 60.0, most=2)
    assert len(plan.commands) == 2
    deeds = await Executor(subject.runtime, None).perform(plan.commands)
    assert [deed.refusal for deed in deeds] == ["", ""]
    await has_sessions(subject, "pg2", CLIENTS - 2)
    assert not busy.is_lost
    await connect(subject, 2)
    await has_sessions(subject, "pg3", 2)
    for client in clients:
        client.transport.close()


async def test_slowstart_would_let_clients_wait(subject: RealSubject) -> None:
    """It shrinks `maxconn` with the weight, for every server that comes up, even for all at once."""
    config = subject.directory / "haproxy.cfg"
    await subject.kill()
    text = config.read_text()
    assert "slowstart" not in text
    config.write_text(text.replace(" maxconn 92", " slowstart 10s maxconn 92"))
    with (subject.directory / "slow.log").open("wb") as log:
        slow = await asyncio.create_subprocess_exec(subject.haproxy.path, "-db", "-f", config, stdout=log, stderr=log)
    try:

        async def serves() -> bool:
            try:
                return (await server(subject, "pg2")).health is Health.UP
            except RuntimeSocketError:
                return False

        await until(serves)
        clients = await connect(subject, CLIENTS)

        async def wait() -> bool:
            return (await state(subject)).queued > 0

        await until(wait)
        for client in clients:
            client.transport.close()
    finally:
        slow.kill()
        await slow.wait()
