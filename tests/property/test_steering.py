"""The planner keeps its laws, whatever crosses whatever."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from steering_laws import LAWS, Law
from steering_world import World, any_world

from trunkline.plan.steering import steer

EXAMPLES = 300


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_law_holds(law: Law) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, database=None)
    @given(st.randoms(use_true_random=False).map(any_world))
    def holds(world: World) -> None:
        assert law(steer, world) == ""

    holds()
