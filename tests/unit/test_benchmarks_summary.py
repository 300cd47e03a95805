"""What many rounds say together: medians, worst cases, ratios, and when a run has proven nothing."""

import math
from dataclasses import replace

import pytest

from benchmarks.contenders import ALONE, BASELINE, OURS
from benchmarks.measures import Measures
from benchmarks.rounds import Round
from benchmarks.summary import KNOWN_READ_ONLY, METRICS, Comparison, compare, why_broken

MEASURES = Measures(
    gap_s=2.0,
    lag_s=0.05,
    longest_wait_s=2.1,
    straight_s=0.02,
    attempts=500,
    written=500,
    in_flight=0,
    read_only=0,
    refused=0,
    closed=0,
    stopping=0,
    unanswered=0,
    other=0,
)


def played(
    side: str, *, fault: str = "switchover", haproxy: str = "2.8.25", lag_s: float | None = 0.05, read_only: int = 0
) -> Round:
    measures = replace(MEASURES, lag_s=lag_s, read_only=read_only)
    return Round(
        haproxy=haproxy,
        fault=fault,
        side=side,
        number=1,
        place=1,
        old="127.0.0.11",
        new="127.0.0.12",
        load_average=0.5,
        measures=measures,
    )


def row(rows: tuple[Comparison, ...], field: str) -> Comparison:
    (found,) = (each for each in rows if each.metric.field == field)
    return found


def test_medians_worst_cases_and_their_ratio() -> None:
    rounds = [
        *(played(OURS, lag_s=lag_s) for lag_s in (0.9, 0.04, 0.05)),
        *(played(BASELINE, lag_s=lag_s, read_only=200) for lag_s in (4.0, 5.0, 7.0)),
    ]
    rows = compare(rounds)
    lag = row(rows, "lag_s")
    assert (lag.ours.median, lag.ours.worst) == (0.05, 0.9)
    assert (lag.baseline.median, lag.baseline.worst) == (5.0, 7.0)
    assert lag.ratio == pytest.approx(0.01)
    assert row(rows, "read_only").ratio == 0.0
    assert row(rows, "failed").baseline.median == 200
    assert row(rows, "closed").ratio is None


def test_without_the_agent_is_told_where_it_was_played() -> None:
    rounds = [played(OURS), played(BASELINE), *(played(ALONE, lag_s=lag_s) for lag_s in (0.1, 0.2, 0.6))]
    alone = row(compare(rounds), "lag_s").alone
    assert alone is not None
    assert (alone.median, alone.worst) == (0.2, 0.6)
    assert row(compare(rounds[:2]), "lag_s").alone is None


def test_a_primary_that_was_never_reached_is_worse_than_any() -> None:
    lag = row(compare([played(OURS), played(BASELINE, lag_s=None)]), "lag_s")
    assert math.isinf(lag.baseline.worst)
    assert lag.ratio is None


def test_each_haproxy_and_fault_is_compared_with_itself() -> None:
    scenes = [("2.8.25", "switchover"), ("2.8.25", "kill-postmaster"), ("2.6.12", "switchover")]
    rounds = [played(side, fault=fault, haproxy=haproxy) for haproxy, fault in scenes for side in (OURS, BASELINE)]
    rows = compare(rounds)
    assert [(each.haproxy, each.fault) for each in rows] == [scene for scene in scenes for _ in METRICS]


def test_a_fault_that_only_one_side_has_met_is_not_compared() -> None:
    assert compare([played(OURS)]) == ()


def test_a_baseline_with_its_known_failure_in_one_switchover_is_enough() -> None:
    rounds = [played(BASELINE, read_only=0), played(BASELINE, read_only=KNOWN_READ_ONLY + 1)]
    assert why_broken(rounds) is None


def test_a_clean_baseline_is_a_broken_benchmark() -> None:
    rounds = [
        played(BASELINE, read_only=KNOWN_READ_ONLY),
        # neither our own failures nor those of another fault make up for it
        played(OURS, read_only=500),
        played(BASELINE, fault="kill-postmaster", read_only=500),
    ]
    assert f"at most {KNOWN_READ_ONLY} statements" in (why_broken(rounds) or "")


def test_every_haproxy_must_show_it() -> None:
    rounds = [played(BASELINE, read_only=500), played(BASELINE, haproxy="2.6.12")]
    assert "2.6.12" in (why_broken(rounds) or "")


def test_without_a_switchover_there_is_nothing_to_show() -> None:
    assert why_broken([played(BASELINE, fault="kill-postmaster")]) is None
