"""Sessions that are all gone are a hint, and no application can keep the agent busy with it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.plan.counters import FIRST_PAUSE_S, STEADY_S, Counter, looked

LOOK_S = 0.5
DAY_S = 86_400
MOST_A_DAY = 24


def hints(counts: list[tuple[float, str | None, int]], failed: list[int] | None = None) -> list[float]:
    """The moments of those looks (moment, who is served, its sessions) that are hints; `failed`: connects by then."""
    counter, found = Counter(), []
    for number, (at_s, server, count) in enumerate(counts):
        counter, is_hint = looked(counter, server, count, failed[number] if failed else 0, at_s)
        found += [at_s] if is_hint else []
    return found


def each_look(counts: list[int], server: str = "pg1") -> list[tuple[float, str | None, int]]:
    return [(1000 + number * LOOK_S, server, count) for number, count in enumerate(counts)]


@pytest.mark.parametrize("before", [1, 3, 200])
def test_sessions_that_are_all_gone_are_a_hint_at_the_next_look(before: int) -> None:
    steady = int(STEADY_S / LOOK_S) + 1
    looks = each_look([before] * steady + [0, 0, 0])
    assert hints(looks) == [looks[steady][0]]


def test_some_that_are_gone_are_none() -> None:
    assert hints(each_look([200] * 20 + [1] * 20)) == []


def test_one_connection_at_a_time_is_none() -> None:
    assert hints(each_look([1, 0] * DAY_S)) == []


@pytest.mark.parametrize("stays", [6, 7, 30, 600])
def test_one_that_stays_for_a_while_each_time_fools_us_ever_less_often(stays: int) -> None:
    """A pool that shrinks to nothing, a job that runs each minute."""
    found = hints(each_look(([1] * stays + [0]) * (2 * DAY_S // (stays + 1))))
    assert 0 < len(found) <= MOST_A_DAY


def test_clients_who_cannot_connect_are_a_hint() -> None:
    looks = each_look([3] * 10)
    assert hints(looks, [7] * 5 + [8] * 5) == [looks[5][0]]


def test_clients_who_never_can_are_one_ever_less_often() -> None:
    looks = each_look([3] * (2 * DAY_S))
    assert 0 < len(hints(looks, list(range(2 * DAY_S)))) <= MOST_A_DAY


def test_a_counter_that_begins_anew_is_none() -> None:
    """HAProxy was reloaded."""
    assert hints(each_look([3] * 10), [7] * 5 + [0] * 5) == []


def test_the_next_primary_is_missed_like_the_first() -> None:
    steady = [2] * 10
    first = each_look([*steady, 0])
    nobody = [(2000.0, None, 0)]
    again = [(3000 + at_s, server, count) for at_s, server, count in each_look([*steady, 0])]
    assert len(hints([*first, *nobody, *again])) == 2


def test_who_is_served_in_place_of_another_has_lost_nothing() -> None:
    assert hints([*each_look([5] * 20), (1100.0, "pg2", 0), (1100.5, "pg2", 0)]) == []


LOOKS = st.lists(
    st.tuples(st.floats(0.001, 30.0), st.sampled_from(["pg1", "pg1", "pg1", "pg1", "pg2", None]), st.integers(0, 2)),
    max_size=200,
)


@given(LOOKS)
def test_a_hint_is_a_fall_from_some_to_none_and_each_waits_longer_than_the_one_before(
    steps: list[tuple[float, str | None, int]],
) -> None:
    now_s, looks = 0.0, list[tuple[float, str | None, int]]()
    for pause_s, server, count in steps:
        now_s += pause_s
        looks.append((now_s, server, count))
    found = hints(looks)
    for before, after in pairwise(looks):
        if after[0] in found:
            assert before[1] == after[1] is not None
            assert before[2] > 0 == after[2]
    last: tuple[float, float] | None = None
    for (_, was, _), (at_s, server, _) in pairwise(looks):
        if server != was:
            last = None
        elif at_s in found:
            assert last is None or at_s - last[0] >= last[1]
            last = (at_s, FIRST_PAUSE_S if last is None else 2 * last[1])
