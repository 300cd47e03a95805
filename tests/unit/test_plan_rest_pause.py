"""Whom a burst asks how often."""

import pytest

from trunkline.model.facts import LeaderKey
from trunkline.plan.pace import ASIDE_S, AT_REST, BURST, rest_pause_s
from trunkline.plan.posture import KEY_FRESH_S


def key(holder: str | None, age_s: float = 0.1) -> LeaderKey:
    return LeaderKey(holder=holder, age_s=age_s, source="etcd")


@pytest.mark.parametrize(
    ("known", "pause_s"),
    [
        (key("pg1"), BURST.rest_s),
        (key("pg2"), ASIDE_S),
        (key(None), ASIDE_S),
        (key("pg2", KEY_FRESH_S + 0.1), BURST.rest_s),
        (None, BURST.rest_s),
    ],
    ids=["its own", "another's", "nobody's", "another's a while ago", "nobody could tell"],
)
def test_in_a_burst_who_may_be_the_primary_is_asked_most(known: LeaderKey | None, pause_s: float) -> None:
    assert rest_pause_s(BURST, "pg1", known) == pause_s


def test_at_rest_all_are_asked_alike() -> None:
    assert {rest_pause_s(AT_REST, name, key("pg1")) for name in ("pg1", "pg2")} == {AT_REST.rest_s}
