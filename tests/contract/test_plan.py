"""`trunkline plan` and `trunkline explain` in front of real HAProxies: what they say is what an agent then does."""

import asyncio
import json
import os
import signal
import sys
from typing import Any

import pytest
from supervised import Supervised

from trunkline.adapters.agent_page import PLAN, fetch
from trunkline.plan.posture import PRIMARY_ROWS, REPLICA_ROWS
from trunkline.testing.fake_cluster import FakeCluster

pytestmark = pytest.mark.haproxy
WITHOUT = {"agent": {"enabled": False}}


async def said(run: Supervised, *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command with the settings of this run."""
    where = ("--config", str(run.config), "--dir", str(run.directory))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trunkline", *words, *where),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_nothing_is_to_do_while_all_is_well(run: Supervised) -> None:
    run.write(WITHOUT)
    await run.serve()
    code, out, _ = await said(run, "plan", "--json")
    assert code == 0
    primary = next(it for it in json.loads(out)["services"] if it["service"] == "postgres_primary")
    assert primary["commands"] == []
    assert {it["member"]: it["stance"] for it in primary["members"]} == {"pg1": "serves", "pg2": "out", "pg3": "out"}


async def test_a_silent_api_is_answered_by_the_second_opinion(run: Supervised, cluster: FakeCluster) -> None:
    cluster.config["ttl"] = 90  # HAProxy's own checks wait for a third of it
    run.write(WITHOUT)
    await run.serve()
    cluster.apis["pg1"].fall_silent()
    code, out, _ = await said(run, "plan")
    assert code == 0
    assert "1. trunkline stick postgres_primary/pg1 checks" in out
    assert "its PostgreSQL answers" in out
    assert (await run.runtime.lease()).stuck == ()
    code, out, _ = await said(run, "explain", "pg1")
    assert code == 0
    assert "an agent: kept, since its API is silent" in out
    of_primary, of_replicas = out.split("postgres_replicas: ")
    assert "its checks are suspended" in of_primary
    assert of_replicas.startswith("out, ")
    assert "an agent: checks, since its API is silent, its PostgreSQL answers, and HAProxy has it down" in of_replicas
    assert "suspended" not in of_replicas


async def test_status_and_explain_show_what_the_agent_that_runs_has_decided(run: Supervised) -> None:
    """The same object as a dry run of the same facts; their ages apart."""
    await run.serve()
    await run.said("steering HAProxy")
    await run.until(lambda: has_decided(run))
    _, out, _ = await said(run, "plan", "--json")
    dry = [stripped(it) for it in json.loads(out)["services"]]
    _, out, _ = await said(run, "status", "--json")
    told = json.loads(out)["agent"]
    assert (told["pid"], told["problem"]) == (run.agents[0], "")
    assert told["age_s"] < 2
    assert [stripped(it) for it in told["services"]] == dry
    _, out, _ = await said(run, "explain", "pg1", "--json")
    explained = json.loads(out)
    assert explained["is_agent_running"]
    (member,) = explained["members"]
    stances = {it["service"]: it["agent"]["because"] for it in member["services"]}
    assert stances == {it["service"]: it["members"][0]["because"] for it in dry}
    _, out, _ = await said(run, "status")
    assert "postgres_primary: pg1 serves, pg2 out, pg3 out" in out
    await run.stop()


async def test_an_agent_that_hangs_is_not_waited_for(run: Supervised) -> None:
    await run.serve()
    await run.said("steering HAProxy")
    await run.until(lambda: has_decided(run))
    (agent,) = run.agents
    os.kill(agent, signal.SIGSTOP)
    try:
        code, out, _ = await said(run, "status", "--json")
        assert code == 0
        assert json.loads(out)["agent"]["pid"] is None
        _, out, _ = await said(run, "explain", "pg1")
        assert "an agent: " in out
    finally:
        os.kill(agent, signal.SIGCONT)
    await run.stop()


async def test_two_that_claim_to_be_the_primary_are_warned_of_wherever_a_member_is_explained(
    run: Supervised, cluster: FakeCluster
) -> None:
    await run.serve()
    await run.said("steering HAProxy")
    _, out, _ = await said(run, "explain")
    assert "WARNING" not in out
    cluster.leader = "pg2"
    claim = cluster.answer("pg2", "/primary", {})
    cluster.leader = "pg1"
    cluster.apis["pg2"].answers["/primary"] = claim
    await run.said("several members claim to be the primary")
    for words in (("explain",), ("explain", "pg3")):
        _, out, _ = await said(run, *words)
        assert out.splitlines()[-1].startswith(
            "WARNING: postgres_primary: several members claim to be the primary: pg1"
        )
    _, out, _ = await said(run, "explain", "--json")
    (warned,) = json.loads(out)["warnings"]
    assert warned["services"] == ["postgres_primary"]
    assert "pg1 (timeline 1), pg2 (timeline 1)" in warned["warning"]
    await run.stop()


async def has_decided(run: Supervised) -> bool:
    """The agent has looked at every member."""
    told = await fetch(run.agent_page, PLAN, timeout_s=2.0)
    services = json.loads(told or "{}").get("services", [])
    return len(services) == 2 and all("was not asked" not in it["facts"] for one in services for it in one["members"])


def stripped(service: dict[str, Any]) -> dict[str, Any]:
    """Without what has an age in it."""
    members = [{key: value for key, value in it.items() if key != "facts"} for it in service["members"]]
    return service | {"members": members}


async def test_what_cannot_be_said(run: Supervised) -> None:
    code, _, err = await said(run, "plan")
    assert code != 0
    assert "HINT" in err
    run.write(WITHOUT)
    code, out, _ = await said(run, "explain")
    assert code == 0
    assert "what an agent would decide is not known: " in out
    await run.serve()
    code, _, err = await said(run, "explain", "nobody")
    assert code == 2
    assert "the members are pg1, pg2, pg3" in err


async def test_all_apis_are_silent(run: Supervised, cluster: FakeCluster) -> None:
    run.write(WITHOUT)
    await run.serve()
    for api in cluster.apis.values():
        await api.refuse()
    code, out, _ = await said(run, "explain", "pg1")
    assert code == 0
    assert "an agent: " in out
    assert "its API was silent" in out
    assert "its PostgreSQL answers" in out


async def test_the_table_is_printed_without_a_cluster(run: Supervised) -> None:
    code, out, _ = await said(run, "plan", "--posture")
    assert code == 0
    assert "nothing else is known: it is left to HAProxy's checks" in out
    code, out, _ = await said(run, "plan", "--posture", "--json")
    assert code == 0
    table = json.loads(out)
    assert [len(rows) for rows in table.values()] == [len(PRIMARY_ROWS), len(REPLICA_ROWS)]
    assert table["primary"][-1] == {
        "number": len(PRIMARY_ROWS),
        "stance": "checks",
        "when": "nothing else is known",
        "then": "it is left to HAProxy's checks",
    }
