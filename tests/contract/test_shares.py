"""A replica that comes back gets its share of new sessions little by little; at a start everybody gets it at once."""

import asyncio

import pytest
from contract_subjects import Postgres
from supervised import Supervised

from trunkline.model.proxy import Health
from trunkline.testing.fake_cluster import FakeCluster

pytestmark = pytest.mark.haproxy

SLOW_START_S = 4.0
SETTLED_S = 2.5
SESSIONS = 22
TENTH = 5
"""Of 22 at once: a tenth to a fifth, and one for the first, who finds nobody anywhere."""


def slowly(run: Supervised) -> None:
    replicas = {"bind": [f"127.0.0.1:{run.ports[1]}"], "slow_start_s": SLOW_START_S}
    primary = {"bind": [f"127.0.0.1:{run.ports[0]}"]}
    run.write({"services": {"primary": primary, "replicas": replicas}, "agent": {"enabled": False}})


async def weight(run: Supervised, name: str) -> str:
    return (await run.runtime.command("get", "weight", f"postgres_replicas/{name}")).split()[0]


async def is_health(run: Supervised, name: str, health: Health) -> bool:
    view = await run.view()
    proxy = view.proxy("postgres_replicas") if view else None
    server = proxy.server(name) if proxy else None
    return server is not None and server.health is health


async def come(run: Supervised, postgres: dict[str, Postgres], count: int) -> dict[str, int]:
    """Sessions that come at once, by where they are now."""
    before = {name: one.clients.qsize() for name, one in postgres.items()}
    for _ in range(count):
        await run.connect(run.ports[1])
    await run.until(lambda: sum(one.clients.qsize() for one in postgres.values()) == sum(before.values()) + count)
    return {name: one.clients.qsize() - before[name] for name, one in postgres.items()}


async def weighs(run: Supervised, name: str, percent: str) -> bool:
    return await weight(run, name) == percent


async def test_who_comes_back_begins_with_a_tenth(
    run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres]
) -> None:
    slowly(run)
    cluster.stories["pg3"].tags["noloadbalance"] = True
    await run.serve()
    await run.until(lambda: is_health(run, "pg2", Health.UP))
    await asyncio.sleep(SETTLED_S)  # pg2 has served for a while: nothing comes, which nobody announces
    cluster.stories["pg3"].tags.clear()
    await run.until(lambda: is_health(run, "pg3", Health.UP))
    await run.until(lambda: weighs_less(run, "pg3"))
    got = await come(run, postgres, SESSIONS)
    assert got["pg3"] <= TENTH, got
    await run.until(lambda: weighs(run, "pg3", "100"))
    await come(run, postgres, 2 * SESSIONS)
    assert abs(postgres["pg2"].clients.qsize() - postgres["pg3"].clients.qsize()) <= 1
    await run.stop()


async def weighs_less(run: Supervised, name: str) -> bool:
    return 10 <= int(await weight(run, name)) < 50


async def test_what_a_person_sets_stays(run: Supervised, cluster: FakeCluster) -> None:
    slowly(run)
    cluster.stories["pg3"].tags["noloadbalance"] = True
    await run.serve()
    await asyncio.sleep(SETTLED_S)
    cluster.stories["pg3"].tags.clear()
    await run.until(lambda: weighs_less(run, "pg3"))
    await run.runtime.command("set", "weight", "postgres_replicas/pg3", "70")
    await asyncio.sleep(SLOW_START_S)  # nothing comes, which nobody announces
    assert await weight(run, "pg3") == "70"
    await run.stop()


async def test_at_a_start_nobody_waits_for_its_share(run: Supervised, postgres: dict[str, Postgres]) -> None:
    slowly(run)
    await run.serve()
    await run.until(lambda: is_health(run, "pg2", Health.UP))
    await run.until(lambda: is_health(run, "pg3", Health.UP))
    got = await come(run, postgres, SESSIONS)
    assert got == {"pg1": 0, "pg2": SESSIONS / 2, "pg3": SESSIONS / 2}
    assert (await weight(run, "pg2"), await weight(run, "pg3")) == ("100", "100")
    await run.stop()
