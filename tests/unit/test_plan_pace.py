"""How often is asked: one cluster as often as it is good for it, hundreds of them as often as all can have it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.agent.watching import ANSWER_TIMEOUT_S
from trunkline.model.facts import LeaderKey
from trunkline.plan.pace import (
    ASIDE_S,
    AT_REST,
    BURST,
    LONG_BURST,
    SELDOM_S,
    WATCHFUL,
    Pace,
    rest_pause_s,
    shared,
)
from trunkline.plan.posture import KEY_FRESH_S, REST_FRESH_S

PACES = (AT_REST, WATCHFUL, BURST, LONG_BURST)


@pytest.mark.parametrize("pace", PACES, ids=lambda pace: pace.name)
@pytest.mark.parametrize(("clusters", "members"), [(1, 1), (1, 3), (1, 9), (10, 40), (25, 100)])
def test_a_few_clusters_share_nothing_out(pace: Pace, clusters: int, members: int) -> None:
    assert shared(pace, clusters=clusters, members=members) == pace


def test_a_thousand_members_are_asked_a_thousand_times_a_second() -> None:
    pace = shared(AT_REST, clusters=250, members=1000)
    assert pace.primary_s == AT_REST.primary_s
    assert 250 / pace.primary_s + 750 / pace.rest_s == pytest.approx(1000, rel=0.1)


def test_a_burst_among_a_thousand_members_asks_every_hundred_milliseconds() -> None:
    wanted = replace(BURST, rest_s=0.1, primary_s=0.1, port_s=0.5, key_s=0.25)
    found = shared(BURST, clusters=250, members=1000)
    assert (found.rest_s, found.primary_s, found.port_s, found.key_s) == pytest.approx(
        (wanted.rest_s, wanted.primary_s, wanted.port_s, wanted.key_s)
    )


@given(st.sampled_from(PACES), st.integers(0, 5000), st.integers(0, 5000))
def test_laws(pace: Pace, clusters: int, more: int) -> None:
    """Nobody is asked more often for being one of many, and nobody so seldom that his answers go stale."""
    found = shared(pace, clusters=clusters, members=clusters + more)
    assert found.name == pace.name
    for one, all_alone in zip(times(found), times(pace), strict=True):
        assert (one is None) is (all_alone is None)
        assert one is None or all_alone is None or one >= all_alone
    assert found.rest_s <= max(SELDOM_S, pace.rest_s)
    assert found.primary_s <= found.rest_s
    assert pace is AT_REST or found.rest_s <= WATCHFUL.rest_s


def test_an_answer_is_fresh_until_the_next_one_has_not_come() -> None:
    assert SELDOM_S + ANSWER_TIMEOUT_S <= REST_FRESH_S


def key(holder: str | None, age_s: float = 0.1) -> LeaderKey:
    return LeaderKey(holder=holder, age_s=age_s, source="etcd")


@pytest.mark.parametrize(
    ("known", "pause_s"),
    [
        (key("pg1"), BURST.primary_s),
        (key("pg2"), ASIDE_S),
        (key(None), ASIDE_S),
        (key("pg2", KEY_FRESH_S + 0.1), BURST.primary_s),
        (None, BURST.primary_s),
    ],
    ids=["its own", "another's", "nobody's", "another's a while ago", "nobody could tell"],
)
@pytest.mark.parametrize("may_be_primary", [True, False])
def test_in_a_burst_who_may_be_the_primary_next_is_asked_most(
    known: LeaderKey | None, pause_s: float, may_be_primary: bool
) -> None:
    assert rest_pause_s(BURST, "pg1", known, may_be_primary=may_be_primary) == pause_s


def test_at_rest_three_members_are_asked_about_once_a_second_each() -> None:
    pauses = [rest_pause_s(AT_REST, name, key("pg1"), may_be_primary=name == "pg1") for name in ("pg1", "pg2", "pg3")]
    assert pauses[0] < pauses[1] == pauses[2]
    assert sum(1 / pause for pause in pauses) / 3 == pytest.approx(1.0, rel=0.25)


def times(pace: Pace) -> tuple[float | None, ...]:
    return pace.rest_s, pace.primary_s, pace.port_s, pace.key_s
