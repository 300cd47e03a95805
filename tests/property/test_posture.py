"""Each row of the posture table has an example, and each example its commands, in order."""

from dataclasses import replace

import pytest
from steering_examples import EXAMPLES, Example

from trunkline.model.command import words
from trunkline.plan.dry_run import describe
from trunkline.plan.posture import PRIMARY_ROWS, REPLICA_ROWS
from trunkline.plan.replicas import ReplicaPolicy, steer_replicas
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
        said = [it for it in steer(example.world.situation()).warnings if "claim to be the primary" in it]
        assert bool(said) == has_two


def test_the_reason_of_a_drain_says_who_until_when_and_why() -> None:
    example = next(it for it in EXAMPLES if it.name == "a replica that people have asked to drain")
    (command,) = steer(example.world.situation()).commands
    assert command.reason.startswith("pg1: drained by ana until 14:30: kernel update; it gets no new sessions")


def test_the_dry_run_tells_the_same() -> None:
    example = next(it for it in EXAMPLES if it.name == "a replica that people have asked to drain")
    told = describe(example.world.situation())
    assert (told.members[0].stance, told.members[0].because.partition(";")[0]) == (
        "drained",
        "drained by ana until 14:30: kernel update",
    )


def test_a_deadline_counts_for_who_was_asked_to_be_drained_as_for_anybody() -> None:
    """Unless it is silent: silence ends nobody's session."""
    policy = ReplicaPolicy(drain_deadline_s=60.0)
    found = {it.name: it for it in EXAMPLES}
    for name, ends in (
        ("and it is drained", True),
        ("and it is silent meanwhile: its sessions do not need its checks", False),
    ):
        world = found[name].world
        world = replace(world, machines=tuple(replace(it, is_up=True) for it in world.machines))
        plans = [steer_replicas(world.situation(), policy, {"pg1": 0.0}, now) for now in (59.0, 60.0)]
        assert [len(plan.commands) for plan in plans] == [0, int(ends)]
