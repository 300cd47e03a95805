"""What the agent tells Prometheus, through HAProxy's stats port, beside HAProxy's own."""

import os
import signal

import pytest
from scraping import fetched, scraped, value
from supervised import Supervised

from trunkline.adapters.files import read_text

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
    status, own = await fetched(run, "/metrics")
    assert status == 200
    assert "haproxy_process_nbthread" in own
    await run.stop()


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
