"""Each row of the posture table has an example, and each example its commands, in order."""

import pytest
from steering_examples import EXAMPLES, Example

from trunkline.model.command import words
from trunkline.plan.posture import PRIMARY_ROWS, REPLICA_ROWS
from trunkline.plan.steering import judge_members, steer


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda it: it.name)
def test_an_example(example: Example) -> None:
    situation = example.world.situation()
    judgement = next(it for it in judge_members(situation) if it.name == "pg1")
    assert (judgement.row.when, judgement.stance) == (example.row.when, example.row.stance)
    assert tuple(words(command) for command in steer(situation).commands) == example.commands


def test_every_row_has_one() -> None:
    shown = {id(example.row) for example in EXAMPLES}
    assert [row.when for row in (*PRIMARY_ROWS, *REPLICA_ROWS) if id(row) not in shown] == []


def test_two_claims_are_warned_of() -> None:
    for example in EXAMPLES:
        has_two = (
            sum(bool(it.rest and it.rest.answer and it.rest.answer.accepts_writes) for it in example.world.facts) > 1
        )
        assert bool(steer(example.world.situation()).warnings) == has_two
