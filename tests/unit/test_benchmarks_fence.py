"""What a round of the fence is worth, and when a run proves nothing."""

import math

import pytest

from benchmarks.contenders import ALONE, BASELINE, OURS
from benchmarks.fence import Fence, Moments, Staying, measure, table, why_broken
from trunkline.errors import LabError
from trunkline.lab.load import READ_ONLY, WRITTEN, Attempt, Load

OLD, NEW = "127.0.0.1", "127.0.0.2"
AT = Moments(old=OLD, new=NEW, frozen=0.0, promoted=20.0, ended=22.0)


def attempt(ended: float, server: str = OLD, outcome: str = WRITTEN) -> Attempt:
    return Attempt(began=ended - 0.1, ended=ended, outcome=outcome, server=server)


def measured(load: list[Attempt], staying: list[Staying]) -> Fence:
    return measure(OURS, 1, Load([attempt(20.1, NEW), *load]), staying, AT)


def fence(side: str, **numbers: float) -> Fence:
    whole: dict[str, float] = {"margin_s": 2.0, "outage_s": 2.3, "lag_s": 0.05, "promoted_after_s": 20.0}
    counts = {"number": 1, "lost": 0, "read_only": 0, "failed": 0}
    return Fence(side=side, load_average=0.0, **{**whole, **counts, **numbers})  # type: ignore[arg-type]


def test_the_margin_begins_with_the_last_of_the_old_primary() -> None:
    one = measured([attempt(17.0)], [Staying([16.0], cut=16.5), Staying([16.9], cut=17.5)])
    assert one.margin_s == pytest.approx(2.5)
    assert one.outage_s == pytest.approx(3.1)
    assert one.lag_s == pytest.approx(0.1)
    assert one.lost == 0


def test_writes_beside_the_new_primary_are_lost() -> None:
    one = measured([attempt(20.5)], [Staying([19.0, 20.2, 21.9], cut=21.95)])
    assert one.lost == 3
    assert one.margin_s == pytest.approx(-1.95)
    assert one.outage_s < 0


def test_what_patroni_ends_when_it_is_back_is_no_fence() -> None:
    assert measured([], [Staying([19.0], cut=22.5)]).margin_s == -math.inf
    assert measured([], [Staying([19.0])]).margin_s == -math.inf


def test_failures_are_counted() -> None:
    one = measured([attempt(20.3, OLD, READ_ONLY), attempt(20.4, "", "closed")], [Staying([17.0], cut=17.1)])
    assert (one.read_only, one.failed) == (1, 2)


def test_a_side_that_never_served_shows_nothing() -> None:
    with pytest.raises(LabError, match="has not served"):
        measure(OURS, 1, Load(), [Staying([1.0], cut=2.0)], AT)
    with pytest.raises(LabError, match="has not served"):
        measured([], [Staying()])


def test_the_table_has_the_least_margin() -> None:
    rounds = [fence(OURS, margin_s=number) for number in (2.0, 0.25, 3.0)]
    others = [fence(side, margin_s=-math.inf) for side in (ALONE, BASELINE)]
    rows = {row[0]: row[1:] for row in table([*rounds, *others]).rows}
    assert rows["margin before the promotion: least"] == ("250 ms", "never ended", "never ended")
    assert rows["margin: median"][0] == "2.00 s"


def test_it_is_broken_where_checks_alone_lose_nothing() -> None:
    assert why_broken([fence(OURS), fence(ALONE, outage_s=18.0)]) is None
    assert "checks alone had an outage of 2.0 s" in (why_broken([fence(OURS), fence(ALONE, outage_s=2.0)]) or "")
