"""Ports that refuse when nobody could serve them for long, and listen again the moment somebody can."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable

import pytest
from supervised import Supervised

from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.testing.fake_cluster import FakeCluster

pytestmark = pytest.mark.haproxy
GRACE_S = 5.0
HOLD_S = 6.0
PATIENCE_S = 20.0
AT_ONCE_S = 1.0
QUICK = {"agent": {"enabled": False}, "hold": {"timeout_s": HOLD_S}}
REFUSED, SERVED, TOLD, CLOSED = "refused", "served", "57P03", "closed without a word"


async def outcome(run: Supervised, port: int) -> str:
    """What became of one client; the fake PostgreSQL says nothing to those whom it serves."""
    try:
        reader, writer = await run.connect(port)
    except ConnectionError:  # refused, or reset before it was accepted
        return REFUSED
    try:
        async with asyncio.timeout(0.3):
            answer = await reader.read(200)
    except TimeoutError:
        return SERVED
    except ConnectionError:
        return REFUSED
    finally:
        writer.close()
    return TOLD if b"57P03" in answer else CLOSED


async def refuses(run: Supervised, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return True
    writer.close()
    return False


async def is_served(run: Supervised, port: int) -> bool:
    return await outcome(run, port) == SERVED


async def until(is_so: Callable[[], object]) -> float:
    began = time.monotonic()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = is_so()
            if await found if asyncio.iscoroutine(found) else found:
                return time.monotonic() - began
            await asyncio.sleep(0.02)


async def closed(run: Supervised) -> tuple[str, ...]:
    """As HAProxy tells it whoever renews a lease."""
    return (await RuntimeSocket(run.paths.admin_socket).renew(1)).closed


async def test_when_the_hold_is_over_and_there_is_no_primary(run: Supervised, cluster: FakeCluster) -> None:
    run.write(QUICK)
    await run.serve()
    cluster.leader = None
    await run.until(run.leads_to())
    reader, _ = await run.connect(run.ports[0])
    waited_s = await until(lambda: refuses(run, run.ports[0]))
    assert HOLD_S - 1 < waited_s < HOLD_S + 3
    assert await closed(run) == ("postgres_primary",)
    assert not await refuses(run, run.ports[1])
    async with asyncio.timeout(HOLD_S):
        assert b"57P03" in await reader.read(200)  # who was in already is told in PostgreSQL's words
    cluster.promote("pg2")
    await run.until(run.leads_to("pg2"))
    assert await until(lambda: not_refused(run)) < AT_ONCE_S
    assert await outcome(run, run.ports[0]) == SERVED
    assert await closed(run) == ()
    await run.stop()


async def not_refused(run: Supervised) -> bool:
    return not await refuses(run, run.ports[0])


async def test_under_load_nobody_is_taken_and_dropped(run: Supervised, cluster: FakeCluster) -> None:
    run.write(QUICK | {"hold": {"enabled": False}})
    await run.serve()
    seen: Counter[str] = Counter()
    is_over = asyncio.Event()

    async def come_and_go() -> None:
        while not is_over.is_set():
            seen[await outcome(run, run.ports[0])] += 1
            await asyncio.sleep(0)

    clients = [asyncio.create_task(come_and_go()) for _ in range(8)]
    cluster.leader = None
    await until(lambda: seen[TOLD] > 8)
    seen[CLOSED] = 0  # sessions of the old primary, ended with it
    await until(lambda: seen[REFUSED] > 100)
    cluster.promote("pg3")
    before = seen[SERVED]
    await until(lambda: seen[SERVED] > before + 8)
    is_over.set()
    await asyncio.gather(*clients)
    assert not seen[CLOSED], seen
    await run.stop()


async def test_a_reload_opens_it_and_the_new_worker_refuses_again(run: Supervised, cluster: FakeCluster) -> None:
    run.write(QUICK | {"hold": {"enabled": False}})
    await run.serve()
    cluster.leader = None
    await until(lambda: refuses(run, run.ports[0]))
    run.write(QUICK | {"hold": {"enabled": False}, "timeouts": {"keepalive_idle_s": 31}})
    run.process.send_signal(signal.SIGHUP)
    await run.said("HAProxy reloaded")
    assert not await refuses(run, run.ports[0])
    await until(lambda: refuses(run, run.ports[0]))
    cluster.promote("pg2")
    await until(lambda: not_refused(run))
    await run.until(run.leads_to("pg2"))
    assert await outcome(run, run.ports[0]) == SERVED
    await run.stop()


async def test_when_no_member_is_reached_both_ports_refuse(run: Supervised, cluster: FakeCluster) -> None:
    run.write({"agent": {"enabled": False}})
    await run.serve()
    for api in cluster.apis.values():
        await api.refuse()
    for port in run.ports[:2]:
        await until(lambda port=port: refuses(run, port))  # type: ignore[misc]
    assert await closed(run) == ("postgres_primary", "postgres_replicas")
    for api in cluster.apis.values():
        await api.listen()
    for port in run.ports[:2]:
        await until(lambda port=port: is_served(run, port))  # type: ignore[misc]
    assert await closed(run) == ()
    await run.stop()


async def test_a_port_that_a_person_has_disabled_stays_so(run: Supervised, cluster: FakeCluster) -> None:
    run.write(QUICK)
    await run.serve()
    await run.runtime.command("disable", "frontend", "postgres_primary")
    cluster.promote("pg2")
    await run.until(run.leads_to("pg2"))
    assert await refuses(run, run.ports[0])
    await asyncio.sleep(1)
    assert await refuses(run, run.ports[0])
    await run.runtime.command("enable", "frontend", "postgres_primary")
    assert await outcome(run, run.ports[0]) == SERVED
    await run.stop()
