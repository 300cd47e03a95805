"""The planner keeps its laws, whatever crosses whatever; and everything does cross."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from steering_laws import LAWS, Law
from steering_world import World, any_world

from trunkline.plan.posture import KEY_FRESH_S, PRIMARY_ROWS, REPLICA_ROWS
from trunkline.plan.steering import judge_members, steer

EXAMPLES = 300


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_law_holds(law: Law) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, database=None)
    @given(st.randoms(use_true_random=False).map(any_world))
    def holds(world: World) -> None:
        assert law(steer, world) == ""

    holds()


def in_flight(world: World) -> bool:
    """A question to an API was sent before the newest thing that is known, and answered after it."""
    newest = [it.port.age_s for it in world.facts if it.port] + ([world.key.age_s] if world.key else [])
    rests = [it.rest for it in world.facts if it.rest is not None and it.rest.answer is not None]
    return any(rest.answered_s <= age_s < rest.age_s for rest in rests for age_s in newest)


def two_claims(world: World) -> bool:
    return sum(judgement.case.passes for judgement in judge_members(world.situation())) > 1


def another_address(world: World) -> bool:
    """A name has another address than HAProxy's server of that name."""
    return any(judgement.case.is_elsewhere for judgement in judge_members(world.situation()))


def a_middle(world: World) -> bool:
    """A plan with a place between two commands, where a reload, a crash or a refusal can come."""
    return len(steer(world.situation()).commands) > 1


def a_key_that_ends(world: World) -> bool:
    key = world.key
    return key is not None and key.age_s <= KEY_FRESH_S and (key.holder is None or (key.remaining_s or 1.0) < 0.3)


def a_hand(world: World) -> bool:
    return bool(world.by_hand)


def something_leased(world: World) -> bool:
    return any(machine.noted for machine in world.machines)


def an_old_worker(world: World) -> bool:
    return bool(world.old)


def nothing_known_of_one(world: World) -> bool:
    return len(world.facts) < len(world.machines)


CROSSINGS = (
    in_flight,
    two_claims,
    another_address,
    a_middle,
    a_key_that_ends,
    a_hand,
    something_leased,
    an_old_worker,
    nothing_known_of_one,
)
WORLDS, LEAST = 400, 20


@pytest.mark.parametrize("crossing", CROSSINGS, ids=lambda it: it.__name__)
def test_the_worlds_have_everything_that_crosses(crossing: Callable[[World], bool]) -> None:
    """Of the worlds of the mutation test, which are the same each time; hypothesis draws from the same generator."""
    found = sum(crossing(any_world(random.Random(seed))) for seed in range(WORLDS))
    assert found >= LEAST


def test_every_row_of_the_table_decides_in_some_world() -> None:
    worlds = (any_world(random.Random(seed)).situation() for seed in range(10 * WORLDS))
    decided = {judgement.row.when for situation in worlds for judgement in judge_members(situation)}
    assert {row.when for row in (*PRIMARY_ROWS, *REPLICA_ROWS)} - decided == set()
