"""What the parts of the benchmark that measure cost make of what they have seen, and when they prove nothing."""

import doctest
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import churn, fleet, rest, sheets
from benchmarks.fleet_host import RoleChange
from benchmarks.sheets import Sheet, finish
from benchmarks.usage import TICKS_PER_S, Memory, Meter, Usage, parse_cpu_s, parse_memory, process_of
from trunkline.errors import LabError, TrunklineError
from trunkline.lab.procfs import ProcessId

USAGE = Usage(cpu_share=0.1, window_s=60.0, memory=Memory(rss=2, pss=1))
CHANGE = RoleChange(scope="c0", old="pg1", new="pg2", ended_s=10.0, promoted_s=12.0)
AGENT = fleet.Side(
    name=fleet.AGENT,
    ends=(0.1, 0.2),
    promotions=(0.1, 0.2),
    at_rest=USAGE,
    changing=USAGE,
    asked_per_s={"/primary": 900.0, "/cluster": 100.0},
    host_share=0.4,
)
POLLER = replace(AGENT, name=fleet.POLLER, ends=(0.4, 0.6), promotions=(0.5, 0.9), asked_per_s={"/primary": 990.0})
OURS = churn.Side(
    name=churn.OURS, first_session_s=(0.5, 0.6), served=100, dropped=0, workers=(1, 1), pss=(10, 11), pids=1
)
RELOADED = replace(OURS, name=churn.RELOADED, workers=(2, 3), pids=3)


@pytest.mark.parametrize("module", [sheets, fleet])
def test_examples(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


def test_the_kernels_words() -> None:
    fields = " ".join(["S", *map(str, range(4, 53))])
    assert parse_cpu_s(f"12 (a) b) {fields}") == pytest.approx((14 + 15) / TICKS_PER_S)
    rollup = "55d0-7ffc ---p 00000000 00:00 0  [rollup]\nRss:   1000 kB\nPss:    600 kB\nPss_Dirty: 10 kB\n"
    assert parse_memory(rollup) == Memory(rss=1_024_000, pss=614_400)


def test_a_meter_counts_what_is_used_and_knows_who_has_ended() -> None:
    own = process_of(os.getpid())
    meter = Meter([own])
    while meter.read().window_s < 0.2:
        pass
    usage = meter.read()
    assert 0 < usage.cpu_share < 1.5
    assert usage.memory.rss >= usage.memory.pss > 0
    with pytest.raises(LabError, match="has ended"):
        Meter([ProcessId(pid=own.pid, began=own.began + 1)])
    with pytest.raises(LabError, match="no process"):
        Meter([])


def test_what_was_noticed_is_counted_from_what_has_happened() -> None:
    notices = [
        (9.0, "c0", "pg1", False),
        (10.3, "c0", "pg1", False),
        (10.4, "c0", "pg1", False),
        (11.0, "c0", "pg2", True),
        (12.1, "c1", "pg2", True),
        (12.2, "c0", "pg2", True),
    ]
    ends, promotions = fleet.delays([CHANGE], notices)
    assert list(ends) == [pytest.approx(0.3)]
    assert list(promotions) == [pytest.approx(0.2)]
    assert fleet.delays([CHANGE], notices[:1]) == ((None,), (None,))


def test_what_the_poller_writes() -> None:
    text = json.dumps([1.5, "c0", "pg1", True]) + "\nTraceback …\n"
    assert fleet.transitions(text) == [(1.5, "c0", "pg1", True)]


def test_a_fleet_that_proves_something() -> None:
    assert fleet.why_broken([AGENT, POLLER], 1000) is None
    rows = {row[0]: row[1:] for row in fleet.table([AGENT, POLLER], clusters=250, changes=2).rows}
    assert rows["the promotion noticed: p99"] == ("200 ms", "900 ms")
    assert rows["questions a second at rest"] == ("1000", "990")


@pytest.mark.parametrize(
    ("side", "why"),
    [
        (replace(POLLER, asked_per_s={"/primary": 700.0}), "has not asked 1000 members"),
        (replace(POLLER, ends=(0.01, 0.02)), "notices after half of that"),
        (replace(POLLER, host_share=0.9), "the simulated fleet itself"),
        (replace(AGENT, ends=(None, 0.1)), "has missed 1 of 4"),
        (replace(AGENT, ends=(None, None), promotions=(None, None)), "has missed 4 of 4"),
    ],
)
def test_a_fleet_that_proves_nothing(side: fleet.Side, why: str) -> None:
    assert why in (fleet.why_broken([side], 1000) or "")


def test_churn() -> None:
    assert churn.why_broken([OURS, RELOADED]) is None
    assert "2 reloads have made 1 workers" in (churn.why_broken([OURS, replace(RELOADED, pids=1)]) or "")
    assert "only 1 clients" in (churn.why_broken([replace(OURS, served=1)]) or "")
    assert "never had a client" in (churn.why_broken([replace(OURS, first_session_s=(None, 0.1))]) or "")
    rows = {row[0]: row[1:] for row in churn.table([OURS, RELOADED], "2.8").rows}
    assert rows["workers at a time: most"] == ("1", "3")
    assert rows["first client of a newcomer: worst"] == ("600 ms", "600 ms")


def measured(**shares: float) -> list[rest.Measured]:
    names = (rest.AGENT, rest.HAPROXY, rest.ALONE_HAPROXY, rest.TEMPLATE_HAPROXY)
    known = dict(zip(("agent", "haproxy", "alone", "template"), names, strict=True))
    defaults = {"agent": 0.01, "haproxy": 0.01, "alone": 0.01, "template": 0.001} | shares
    return [
        rest.Measured(name=known[name], processes=1, usage=replace(USAGE, cpu_share=value))
        for name, value in defaults.items()
    ]


def test_rest() -> None:
    assert rest.why_broken(measured()) is None
    assert "no CPU at all" in (rest.why_broken(measured(agent=0.0)) or "")
    assert "no more than the template" in (rest.why_broken(measured(template=0.02)) or "")
    assert ("trunkline: agent", "1", "1.00 %", "0.0 MB", "0.0 MB") in rest.table(measured(), 3).rows


def test_what_is_left_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = Sheet(title="t", columns=("a",), rows=(("x", "1"),))
    finish(tmp_path / "new", [sheet], {"sides": [AGENT]}, None)
    content = json.loads((tmp_path / "new" / "results.json").read_text())
    assert content["broken"] is None
    assert content["sides"][0]["at_rest"]["memory"] == {"rss": 2, "pss": 1}
    assert "| x | 1 |" in (tmp_path / "new" / "tables.md").read_text()
    with pytest.raises(TrunklineError, match="broken: too calm"):
        finish(tmp_path, [sheet], {}, "too calm")
    assert json.loads((tmp_path / "results.json").read_text())["broken"] == "too calm"
