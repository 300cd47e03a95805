"""What clients of a time without a primary live through: they wait and are served, or they are told why not."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import psycopg
import pytest

from tests.lab.beside import beside
from tests.lab.commands import status
from tests.lab.gap import QUICK, gap, held, knock, wait_held, wait_logged
from tests.lab.session_log import end_of
from trunkline.lab.balancer import Balancer
from trunkline.lab.faults import is_dead, moment_of
from trunkline.lab.load import INSERT, REFUSED, STARTING_OR_STOPPING, TOO_MANY, WRITTEN, Attempt, attempt_write, prepare
from trunkline.testing.fake_cluster import FakeCluster

MANY = 1000
MAX_CONNECTIONS = 100
ARRIVAL_TIMEOUT_S = 11
FORGOTTEN_S = 1.0
PATIENCE_S = 10.0


async def ask(balancer: Balancer, service: str = "primary") -> Attempt:
    return await attempt_write(f"{balancer.conninfo(service)} connect_timeout=30", INSERT)


async def test_a_thousand_wait_and_each_is_served(balancer: Balancer, measured: Callable[[str], None]) -> None:
    await prepare(balancer.conninfo())
    with balancer.lab.member("pg1").connect() as session:
        row = session.execute("show max_connections").fetchone()
    assert row is not None
    assert int(str(row[0])) == MAX_CONNECTIONS
    with beside(balancer, **QUICK) as quick:
        await asyncio.to_thread(quick.wait_written)
        async with gap(quick):
            attempts = [asyncio.create_task(ask(quick)) for _ in range(MANY)]
            await wait_held(quick, MANY, timeout_s=ARRIVAL_TIMEOUT_S)
            code, cluster = await asyncio.to_thread(status, quick)
            assert (code, cluster["services"][0]["held"]) == (1, MANY)
        released = time.monotonic()
        ended = await asyncio.gather(*attempts)
        assert await held(quick) == 0
    waits = sorted(attempt.ended - released for attempt in ended)
    measured(f"median {waits[MANY // 2]:.2f} s after the release, last {waits[-1]:.2f} s")
    outcomes = Counter(attempt.outcome for attempt in ended)
    assert outcomes[TOO_MANY] == 0
    assert outcomes == {WRITTEN: MANY}


async def test_who_leaves_is_forgotten_and_never_reaches_postgresql(balancer: Balancer) -> None:
    await prepare(balancer.conninfo())
    with beside(balancer, **QUICK) as quick:
        await asyncio.to_thread(quick.wait_written)
        begin = end_of(quick)
        async with gap(quick):
            leavers = [await asyncio.to_thread(knock, quick) for _ in range(5)]
            stayer = asyncio.create_task(ask(quick))
            await wait_held(quick, 6, timeout_s=5)
            names = ["client={}:{} ".format(*client.getsockname()) for client in leavers]
            for client in leavers:
                client.close()
            await wait_held(quick, 1, timeout_s=FORGOTTEN_S)
        assert (await stayer).outcome == WRITTEN
        for name in names:
            assert "/<NOSRV> " in await wait_logged(quick, name, since=begin)


async def test_a_session_that_came_in_through_the_hold_ends_like_any_other(balancer: Balancer) -> None:
    with beside(balancer, **QUICK) as quick:
        await asyncio.to_thread(quick.wait_written)
        async with gap(quick):
            coming = asyncio.create_task(psycopg.AsyncConnection.connect(quick.conninfo(), autocommit=True))
            await wait_held(quick, 1, timeout_s=5)
        async with await coming as session:
            await session.execute("select 1")
            async with gap(quick):
                # PostgreSQL under it lives: it is HAProxy that ends the session.
                with pytest.raises(psycopg.OperationalError):
                    await asyncio.wait_for(session.execute("select pg_sleep(30)"), timeout=PATIENCE_S)


async def test_those_between_two_attempts_to_connect_are_held_too(balancer: Balancer) -> None:
    await prepare(balancer.conninfo())
    leader = balancer.lab.leader()
    assert leader is not None
    is_gone = is_dead(balancer.lab.member(leader))
    await asyncio.to_thread(balancer.lab.kill_postmaster, leader)
    await asyncio.to_thread(moment_of, is_gone)
    # HAProxy still believes in it: these are refused by its port first.
    ended = await asyncio.gather(*(ask(balancer) for _ in range(20)))
    assert Counter(attempt.outcome for attempt in ended) == {WRITTEN: 20}


async def test_the_limit_of_the_hold_and_its_end_are_told_in_postgresqls_words(balancer: Balancer) -> None:
    settings = {**QUICK, "hold": {"max_connections": 3, "timeout_s": 3.0}}
    with beside(balancer, **settings) as quick:
        await asyncio.to_thread(quick.wait_written)
        async with gap(quick):
            waiting = [asyncio.create_task(ask(quick)) for _ in range(3)]
            await wait_held(quick, 3, timeout_s=2)
            surplus = await ask(quick)
            assert surplus.outcome == STARTING_OR_STOPPING
            assert "no more clients may wait" in surplus.detail
            assert surplus.ended - surplus.began < 1
            ended = await asyncio.gather(*waiting)
            assert {attempt.outcome for attempt in ended} == {STARTING_OR_STOPPING}
            assert all("no primary is available" in attempt.detail for attempt in ended)
            assert all(3.0 <= attempt.ended - attempt.began < 4.5 for attempt in ended)


async def test_without_a_hold_a_client_with_two_hosts_goes_on_to_the_next(balancer: Balancer) -> None:
    with beside(balancer, **QUICK, hold={"enabled": False}) as quick:
        await asyncio.to_thread(quick.wait_written)
        async with gap(quick):
            alone = await ask(quick)
            assert alone.outcome == STARTING_OR_STOPPING
            assert alone.ended - alone.began < 1
            # The first balancer waits longer for a silent API: it still has its primary.
            assert (await attempt_write(both_hosts(quick, balancer), INSERT)).outcome == WRITTEN


async def test_from_a_balancer_that_reaches_nobody_a_client_with_two_hosts_goes_on(balancer: Balancer) -> None:
    places = {name: (member.place.host, member.place.port) for name, member in balancer.lab.members.items()}
    leader = balancer.lab.leader()
    async with FakeCluster(tuple(places), leader=leader, postgres=places) as apis:
        with beside(balancer, patroni=list(apis.urls)) as lonely:
            await asyncio.to_thread(lonely.wait_written)
            for api in apis.apis.values():
                await api.refuse()
            alone = await refused(lonely, "primary")
            assert "this load balancer reaches no member of the cluster" in alone.detail
            both = await attempt_write(both_hosts(lonely, balancer), INSERT)
            assert both.outcome == WRITTEN
            assert 0.9 <= both.ended - both.began < 2.5
            # A little later it does not even take connections, and the client goes on at once.
            alone = await first_that_is(REFUSED, lonely)
            assert alone.ended - alone.began < 0.5
            both = await attempt_write(both_hosts(lonely, balancer), INSERT)
            assert (both.outcome, both.ended - both.began < 0.9) == (WRITTEN, True)
            for api in apis.apis.values():
                await api.listen()
            await first_that_is(WRITTEN, lonely)


async def first_that_is(outcome: str, balancer: Balancer) -> Attempt:
    """The first client that fares so."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            attempt = await ask(balancer)
            if attempt.outcome == outcome:
                return attempt
            await asyncio.sleep(0.1)


def both_hosts(first: Balancer, then: Balancer) -> str:
    """What a client is told that knows two balancers."""
    (host, port), (other_host, other_port) = first.address("primary"), then.address("primary")
    return psycopg.conninfo.make_conninfo(
        first.conninfo(), host=f"{host},{other_host}", port=f"{port},{other_port}", connect_timeout=30
    )


async def test_a_balancer_that_reaches_nobody_refuses_after_a_second(balancer: Balancer) -> None:
    lab = balancer.lab
    async with await psycopg.AsyncConnection.connect(balancer.conninfo("replicas")) as reading:
        for name in lab.members:
            lab.kill_patroni(name)
        for service in ("primary", "replicas"):
            seen = await refused(balancer, service)
            assert "this load balancer reaches no member of the cluster" in seen.detail
            assert 0.9 <= seen.ended - seen.began < 2.5
        # Replicas have no role to lose: who reads may go on.
        await reading.execute("select 1")


async def refused(balancer: Balancer, service: str) -> Attempt:
    """The first client that was not served any more; HAProxy needs about a second to notice."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            attempt = await ask(balancer, service)
            if attempt.outcome == STARTING_OR_STOPPING:
                return attempt
            await asyncio.sleep(0.05)
