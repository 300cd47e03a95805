"""What the agent has decided, told and understood: the same object on both sides."""

import json
from io import StringIO

from rich.console import Console

from trunkline.cli.status_picture import draw
from trunkline.model.planned import AgentPlan, MemberStance, PlannedCommand, ServicePlan
from trunkline.model.status import HAProxyStatus, Status
from trunkline.wire.planned import parse_agent_plan, write_agent_plan

STANCE = MemberStance(
    member="pg1", stance="kept", because="it is so", facts="asked 2 ms ago", takes_sessions=True, leased=("checks",)
)
COMMAND = PlannedCommand(command="trunkline stick postgres_primary/pg1 checks", reason="pg1: it is so")
PLAN = AgentPlan(
    pid=4711,
    age_s=0.25,
    services=(
        ServicePlan(
            scope="demo", service="postgres_primary", members=(STANCE,), commands=(COMMAND,), warnings=("two claim it",)
        ),
    ),
)
NOBODY = AgentPlan(pid=None, age_s=None, problem="no agent answers: HAProxy's own checks decide")


def test_it_comes_back_as_it_was() -> None:
    assert parse_agent_plan(write_agent_plan(PLAN)) == PLAN
    assert parse_agent_plan(write_agent_plan(NOBODY)) == NOBODY


def test_what_a_later_version_adds_is_left_out() -> None:
    raw = json.loads(write_agent_plan(PLAN))
    raw["mood"] = raw["services"][0]["mood"] = "well"
    assert parse_agent_plan(json.dumps(raw).encode()) == PLAN


def test_other_text_is_none() -> None:
    for text in (b"", b"{}", b"<html>", b"[" * 100_000, b"\xff", b'{"pid": "x", "age_s": 1}'):
        assert parse_agent_plan(text) is None


def drawn(agent: AgentPlan | None) -> str:
    haproxy = HAProxyStatus(socket="/admin.sock", version="2.8.25", pid=1, uptime_s=60, problem="")
    console = Console(file=StringIO(), width=120, color_system=None)
    console.print(draw(Status(is_primary_reachable=True, haproxy=haproxy, clusters=(), agent=agent)))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_status_shows_it() -> None:
    text = drawn(PLAN)
    assert "agent, pid 4711, 0.2 s ago" in text
    assert "postgres_primary: pg1 kept" in text
    assert "trunkline stick postgres_primary/pg1 checks (pg1: it is so)" in text
    assert "WARNING: two claim it" in text


def test_status_says_that_there_is_none() -> None:
    assert "No agent answers: HAProxy's own checks decide." in drawn(NOBODY)
    assert "gent" not in drawn(None)


def test_status_says_why_it_cannot_steer() -> None:
    assert "The agent (pid 4711) cannot steer HAProxy: it is gone" in drawn(
        AgentPlan(pid=4711, age_s=9.0, problem="it is gone")
    )
