"""How closely members are asked: a burst when something is up, never for long, and about once a second at rest."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from steering_examples import EXAMPLES
from steering_world import World, any_world

from trunkline.model.desired import ServiceKind
from trunkline.plan.pace import AT_REST, BURST, ENDLESS_BURST_S, LONG_BURST, LONG_BURST_S, WATCHFUL, choose_pace
from trunkline.plan.steering import judge_members

WORLDS = st.randoms(use_true_random=False).map(any_world)


def pace(world: World, *, has_hint: bool = False, bursting_s: float = 0.0) -> float:
    """Seconds between two questions to a member's API."""
    return choose_pace(judge_members(world.situation()), world.kind, has_hint=has_hint, bursting_s=bursting_s).rest_s


def test_about_one_question_a_second_while_all_is_well() -> None:
    (well,) = (example for example in EXAMPLES if example.name == "all is well")
    assert (
        choose_pace(judge_members(well.world.situation()), well.world.kind, has_hint=False, bursting_s=0.0) == AT_REST
    )
    assert AT_REST.port_s is AT_REST.key_s is None


@given(WORLDS)
def test_a_hint_is_a_burst(world: World) -> None:
    assert pace(world, has_hint=True) == BURST.rest_s <= 0.05


@settings(max_examples=300)
@given(WORLDS, st.booleans(), st.floats(0.0, 7200.0))
def test_a_burst_ends_whatever_happens(world: World, has_hint: bool, bursting_s: float) -> None:
    wanted = pace(world, has_hint=has_hint, bursting_s=bursting_s)
    if bursting_s > LONG_BURST_S:
        assert wanted >= LONG_BURST.rest_s
    if bursting_s > ENDLESS_BURST_S:
        assert wanted >= WATCHFUL.rest_s


def questions(seconds: float) -> float:
    """To one member, in so long a burst that never ends."""
    short, long = min(seconds, LONG_BURST_S), min(max(0.0, seconds - LONG_BURST_S), ENDLESS_BURST_S - LONG_BURST_S)
    rest = max(0.0, seconds - ENDLESS_BURST_S)
    return short / BURST.rest_s + long / LONG_BURST.rest_s + rest / WATCHFUL.rest_s


@pytest.mark.parametrize(("seconds", "most"), [(1.0, 100), (10.0, 1000), (3600.0, 17_000)])
def test_what_a_burst_costs_at_most(seconds: float, most: float) -> None:
    assert questions(seconds) <= most


def test_nobody_served_is_a_burst_and_a_silent_member_is_watched() -> None:
    worlds = [any_world(random.Random(seed)) for seed in range(400)]
    found: set[float] = set()
    for world in (it for it in worlds if it.kind is ServiceKind.PRIMARY):
        judgements = judge_members(world.situation())
        is_served = any(it.case.winner == it.name and it.case.server.takes_sessions for it in judgements)
        has_silence = any(it.case.is_silent for it in judgements)
        found.add(pace(world))
        assert not (has_silence and pace(world) == AT_REST.rest_s)
        assert is_served or pace(world) < AT_REST.rest_s
    assert found == {BURST.rest_s, WATCHFUL.rest_s, AT_REST.rest_s}
