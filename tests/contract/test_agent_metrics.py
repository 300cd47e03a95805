"""What the agent tells Prometheus, through HAProxy's stats port, beside HAProxy's own."""

import os
import signal
from collections.abc import Mapping

import pytest
from contract_subjects import Postgres
from scraping import fetched, scraped, value, values
from supervised import Supervised

from trunkline.adapters.files import read_text
from trunkline.testing.fake_cluster import FakeCluster

pytestmark = pytest.mark.haproxy
PRIMARY = {"service": "postgres_primary"}


async def test_every_member_and_source_is_told(run: Supervised) -> None:
    await run.serve()
    text = await scraped(run)
    assert value(text, "trunkline_member_serves", {**PRIMARY, "member": "pg1"}) == 1
    assert value(text, "trunkline_member_serves", {**PRIMARY, "member": "pg2"}) == 0
    assert value(text, "trunkline_member_stance", {**PRIMARY, "member": "pg1", "stance": "serves"}) == 1
    assert value(text, "trunkline_source_age_seconds", {"source": "rest", "member": "pg2"}) < 20
    for source in ("HAProxy", "check log", "master socket"):
        assert value(text, "trunkline_source_age_seconds", {"source": source}) < 20
    assert value(text, "trunkline_held_connections", PRIMARY) == 0
    assert value(text, "trunkline_old_workers", {}) == 0
    assert value(text, "trunkline_cycle_seconds_count", {}) > 0
    assert value(text, "trunkline_fenced_sessions_total", PRIMARY) == 0
    assert value(text, "trunkline_plan_failures_total", PRIMARY) == 0
    for name in ("role_changes_total", "reroute_seconds_count", "gap_seconds_count", "released_connections_total"):
        assert value(text, f"trunkline_{name}", PRIMARY) == 0
    assert not values(text, "trunkline_role_changes_total", {"service": "postgres_replicas"})
    status, own = await fetched(run, "/metrics")
    assert status == 200
    assert "haproxy_process_nbthread" in own
    await run.stop()


async def test_what_a_role_change_has_cost_is_counted(
    run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres]
) -> None:
    await run.serve()
    await scraped(run)
    for _ in range(3):
        await run.session(postgres)
    cluster.leader = None
    await run.until(run.leads_to())
    await run.connect(run.ports[0])
    await run.until(lambda: counts(run, "trunkline_held_connections", 1))
    cluster.promote("pg2")
    await run.until(run.leads_to("pg2"))
    await run.until(lambda: counts(run, "trunkline_reroute_seconds_count", 1))
    text = await scraped(run)
    assert value(text, "trunkline_reroute_seconds_sum", PRIMARY) < 1
    assert value(text, "trunkline_gap_seconds_count", PRIMARY) == 1
    assert value(text, "trunkline_role_changes_total", PRIMARY) == 1
    assert value(text, "trunkline_fenced_sessions_total", PRIMARY) == 3
    assert value(text, "trunkline_released_connections_total", PRIMARY) == 1
    assert value(text, "trunkline_commands_total", PRIMARY) > 0
    run.process.send_signal(signal.SIGHUP)
    await run.said("HAProxy reloaded")
    await run.until(lambda: counts(run, "trunkline_old_workers", 1, labels={}))
    servers = {"service": "postgres_primary", "server": "pg2"}
    await run.until(lambda: counts(run, "trunkline_old_worker_sessions", 1, labels=servers))
    await run.stop()


async def counts(run: Supervised, name: str, number: float, labels: Mapping[str, str] = PRIMARY) -> bool:
    status, text = await fetched(run)
    return status == 200 and values(text, name, labels) == [number]


async def test_an_agent_that_is_gone_is_answered_for_and_the_next_one_tells(run: Supervised) -> None:
    await run.serve()
    await scraped(run)
    pid = int((read_text(run.directory / "agent.lock") or "").strip())
    os.kill(pid, signal.SIGSTOP)
    status, _ = await fetched(run)
    assert status == 504
    os.kill(pid, signal.SIGKILL)
    await scraped(run)
    await run.stop()
