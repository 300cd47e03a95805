"""What people set in HAProxy by hand is left alone, by HAProxy's part of ours as by the agent, and told as theirs."""

import asyncio
import json
from typing import Any

import pytest
from supervised import Supervised
from test_plan import said
from test_refuse_in_haproxy import closed, is_served, refuses, until

from trunkline.testing.fake_cluster import FakeCluster

pytestmark = pytest.mark.haproxy
WITHOUT = {"agent": {"enabled": False}}
PRIMARY, REPLICAS = "postgres_primary", "postgres_replicas"
LOOKS_S = 1.0
"""In which HAProxy's part of ours looks at each port several times."""

BY_HAND = f"the port is disabled by hand: connections are refused (`enable frontend {PRIMARY}` ends that)"


async def frontends(run: Supervised) -> dict[str, str]:
    """HAProxy's word for each port."""
    view = await run.runtime.view()
    return {it.name: it.frontend_status for it in view.proxies if it.name in (PRIMARY, REPLICAS)}


async def status(run: Supervised) -> dict[str, Any]:
    """As `trunkline status --json` tells it."""
    _, out, _ = await said(run, "status", "--json")
    told: dict[str, Any] = json.loads(out)
    return told


async def is_in(run: Supervised, name: str) -> bool:
    """Whether a replica gets sessions."""
    proxy = (await run.runtime.view()).proxy(REPLICAS)
    server = proxy.server(name) if proxy else None
    return server is not None and server.takes_sessions


async def test_a_port_that_is_disabled_while_its_hold_ends_is_the_persons(
    run: Supervised, cluster: FakeCluster
) -> None:
    run.write(WITHOUT)
    await run.serve()
    await run.runtime.command("disable", "frontend", PRIMARY)
    for api in cluster.apis.values():
        await api.refuse()
    await until(lambda: refuses(run, run.ports[1]))  # as long as the other's hold lasts, too
    await asyncio.sleep(LOOKS_S)
    assert await frontends(run) == {PRIMARY: "PAUSED", REPLICAS: "PAUSED"}  # HAProxy's own word tells them not apart
    assert await closed(run) == (REPLICAS,)
    (services,) = (it["services"] for it in (await status(run))["clusters"])
    assert {it["service"]: it["sentence"] for it in services} == {
        PRIMARY: BY_HAND,
        REPLICAS: "connections are refused until somebody can serve them",
    }
    for api in cluster.apis.values():
        await api.listen()
    await run.until(run.leads_to("pg1"))
    await until(lambda: is_served(run, run.ports[1]))
    await asyncio.sleep(LOOKS_S)
    assert await refuses(run, run.ports[0])
    _, out, _ = await said(run, "explain")
    assert f"{PRIMARY}: {BY_HAND}" in out.splitlines()
    await run.runtime.command("enable", "frontend", PRIMARY)
    assert await is_served(run, run.ports[0])
    await run.stop()


async def test_a_port_that_a_person_opens_while_it_refuses_stays_open(run: Supervised, cluster: FakeCluster) -> None:
    run.write(WITHOUT)
    await run.serve()
    for api in cluster.apis.values():
        await api.refuse()
    for port in run.ports[:2]:
        await until(lambda port=port: refuses(run, port))  # type: ignore[misc]
    await run.runtime.command("enable", "frontend", PRIMARY)
    await asyncio.sleep(LOOKS_S)
    assert await frontends(run) == {PRIMARY: "OPEN", REPLICAS: "PAUSED"}
    assert await closed(run) == (REPLICAS,)
    for api in cluster.apis.values():
        await api.listen()
    await run.until(run.leads_to("pg1"))
    for api in cluster.apis.values():
        await api.refuse()
    await until(lambda: refuses(run, run.ports[0]))  # it has had somebody since
    await run.stop()


async def test_checks_that_a_person_has_disabled(run: Supervised) -> None:
    run.write(WITHOUT)
    await run.serve()
    await until(lambda: is_in(run, "pg2"))
    await run.runtime.command("disable", "health", f"{REPLICAS}/pg2")
    reasons = {
        (member["name"], it["service"]): (it["health"], it["reason"])
        for member in (await status(run))["clusters"][0]["members"]
        for it in member["services"]
    }
    health, reason = reasons["pg2", REPLICAS]
    assert (health, reason) == (
        "no check",
        f"replays; its checks are disabled by hand (`enable health {REPLICAS}/pg2` ends that)",
    )
    assert [place for place, (_, words) in reasons.items() if "by hand" in words] == [("pg2", REPLICAS)]
    await run.stop()


async def test_checks_that_the_agent_has_suspended_are_not_told_as_a_persons(
    run: Supervised, cluster: FakeCluster
) -> None:
    cluster.config["ttl"] = 90
    await run.serve()
    await run.said("steering HAProxy")
    cluster.apis["pg1"].fall_silent()

    async def is_suspended() -> bool:
        return (PRIMARY, "pg1") in (await run.runtime.view()).unchecked_by_agent

    await until(is_suspended)
    assert "by hand" not in json.dumps(await status(run))
    await run.stop()
