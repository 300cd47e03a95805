"""Who serves reads: replicas that are fit for it, balanced; the primary as the last resort; nobody else."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import psycopg
import pytest
import yaml

from tests.lab.beside import beside
from tests.lab.gap import wait_held
from tests.lab.role_change import leader_of
from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.lab.balancer import Balancer
from trunkline.lab.load import READ, STARTING_OR_STOPPING, attempt_write
from trunkline.model.proxy import Health

PATIENCE_S = 30.0
POLL_S = 0.05
LAG_LIMIT = 1_000_000


def replicas_of(balancer: Balancer) -> list[str]:
    return sorted(balancer.lab.members.keys() - {leader_of(balancer.lab)})


def host_of(balancer: Balancer, name: str) -> str:
    return balancer.lab.member(name).place.host


async def read(balancer: Balancer) -> str:
    """Which server a new session gets; " primary" behind it where it is not in recovery."""
    return (await attempt_write(balancer.conninfo("replicas"), READ)).server


async def health_of(balancer: Balancer, name: str, service: str = "replicas") -> Health | None:
    view = await RuntimeSocket(balancer.admin_socket).view()
    proxy = view.proxy(f"postgres_{service}")
    server = proxy.server(name) if proxy else None
    return server.health if server else None


async def until_health(balancer: Balancer, health: Health, *names: str, service: str = "replicas") -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if {await health_of(balancer, name, service) for name in names} == {health}:
                    return
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        told = [balancer.lab.member(name).ask(path).text for name in names for path in ("/patroni", "/cluster")]
        raise AssertionError(f"{', '.join(names)} not {health} within {PATIENCE_S} s; Patroni says {told}") from None


async def test_sessions_are_spread_by_how_many_there_are(balancer: Balancer) -> None:
    async with AsyncExitStack() as stack:
        servers: Counter[object] = Counter()
        for _ in range(8):
            session = await psycopg.AsyncConnection.connect(balancer.conninfo("replicas"), autocommit=True)
            await stack.enter_async_context(session)
            row = await (await session.execute(READ)).fetchone()
            servers[row and row[0]] += 1
    assert servers == {host_of(balancer, name): 4 for name in replicas_of(balancer)}


async def test_who_asks_for_no_load_gets_nobody_new_and_keeps_whom_it_has(balancer: Balancer) -> None:
    shy, other = replicas_of(balancer)
    place = balancer.lab.member(shy).place
    made = place.patroni_config.read_text()
    async with AsyncExitStack() as stack:
        mine = await session_on(stack, balancer, shy)
        try:
            place.patroni_config.write_text(yaml.safe_dump(yaml.safe_load(made) | {"tags": {"noloadbalance": True}}))
            balancer.lab.ask_as_admin(shy, "POST", "/reload")
            await until_health(balancer, Health.NOLB, shy)
            assert {await read(balancer) for _ in range(6)} == {host_of(balancer, other)}
            await mine.execute("select 1")
        finally:
            place.patroni_config.write_text(made)
            balancer.lab.ask_as_admin(shy, "POST", "/reload")
        await until_health(balancer, Health.UP, shy)
        await mine.execute("select 1")


async def test_who_lags_gets_nobody_new_and_keeps_whom_it_has(balancer: Balancer) -> None:
    late, other = replicas_of(balancer)
    with beside(balancer, services={"replicas": {"lag_limit": LAG_LIMIT}}) as strict:
        await asyncio.to_thread(strict.wait_written)
        await until_health(strict, Health.UP, late, other)
        async with AsyncExitStack() as stack:
            mine = await session_on(stack, strict, late)
            async with await psycopg.AsyncConnection.connect(
                balancer.lab.member(late).conninfo(), autocommit=True
            ) as direct:
                await direct.execute("select pg_wal_replay_pause()")
                await write_wal(balancer)
                await until_health(strict, Health.NOLB, late)
                await until_health(strict, Health.UP, other)  # it had to replay all of it, too
                assert {await read(strict) for _ in range(6)} == {host_of(balancer, other)}
                await mine.execute("select 1")
                await direct.execute("select pg_wal_replay_resume()")
            await until_health(strict, Health.UP, late)


async def write_wal(balancer: Balancer) -> None:
    """More than the limit, on the primary."""
    async with await psycopg.AsyncConnection.connect(balancer.conninfo(), autocommit=True) as session:
        await session.execute("create table if not exists bulk (t text)")
        await session.execute("insert into bulk select repeat(md5(n::text), 30) from generate_series(1, 5000) n")


async def session_on(
    stack: AsyncExitStack, balancer: Balancer, name: str
) -> psycopg.AsyncConnection[tuple[object, ...]]:
    """A session that the balancing has sent there; those that went elsewhere stay open, too, so the next one does."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            session = await psycopg.AsyncConnection.connect(balancer.conninfo("replicas"), autocommit=True)
            await stack.enter_async_context(session)
            row = await (await session.execute(READ)).fetchone()
            if row and row[0] == host_of(balancer, name):
                return session


@pytest.mark.parametrize("is_last_resort", [True, False])
async def test_without_replicas(balancer: Balancer, is_last_resort: bool) -> None:
    lab, names = balancer.lab, replicas_of(balancer)
    leader = leader_of(lab)
    settings = {"services": {"replicas": {"fallback_to_primary": is_last_resort}}, "hold": {"timeout_s": 2.0}}
    with beside(balancer, **settings) as chosen:
        await asyncio.to_thread(chosen.wait_written)
        await until_health(chosen, Health.UP, *names)
        for name in names:
            await asyncio.to_thread(lab.kill_node, name)
        await until_health(chosen, Health.DOWN, *names)
        if is_last_resort:
            assert {await read(chosen) for _ in range(6)} == {f"{host_of(balancer, leader)} primary"}
        else:
            waiting = asyncio.create_task(attempt_write(chosen.conninfo("replicas"), READ))
            await wait_held(chosen, 1, timeout_s=2, service="replicas")
            refused = await waiting
            assert (refused.outcome, refused.ended - refused.began >= 2) == (STARTING_OR_STOPPING, True)
            assert "no replica is available" in refused.detail
        for name in names:
            await asyncio.to_thread(lab.start_node, name)
        await until_health(chosen, Health.UP, *names)
        assert {await read(chosen) for _ in range(6)} == {host_of(balancer, name) for name in names}


async def test_synchronous_and_asynchronous_replicas_have_ports_of_their_own(balancer: Balancer) -> None:
    offset = balancer.lab.layout.port_offset
    services = {"sync_replicas": {"bind": [f"127.0.0.2:{5002 + offset}"]}}
    services |= {"async_replicas": {"bind": [f"127.0.0.2:{5003 + offset}"]}}
    lab, names = balancer.lab, replicas_of(balancer)
    with beside(balancer, services=services) as both:
        await asyncio.to_thread(both.wait_written)
        try:
            lab.ask_as_admin(leader_of(lab), "PATCH", "/config", {"synchronous_mode": True})
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    states = {name: await health_of(both, name, "sync_replicas") for name in names}
                    if set(states.values()) == {Health.NOLB, Health.UP}:
                        break
                    await asyncio.sleep(POLL_S)
            synchronous = next(name for name in names if states[name] is Health.UP)
            other = next(name for name in names if name != synchronous)
            await until_health(both, Health.UP, other, service="async_replicas")
            for port, name in ((5002, synchronous), (5003, other)):
                conninfo = psycopg.conninfo.make_conninfo(both.conninfo(), port=port + offset)
                seen = {(await attempt_write(conninfo, READ)).server for _ in range(3)}
                assert seen == {host_of(balancer, name)}
        finally:
            lab.ask_as_admin(leader_of(lab), "PATCH", "/config", {"synchronous_mode": None})
