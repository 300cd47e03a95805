"""Which keys of the live view mean what, and when."""

import doctest

import pytest

from trunkline.cli import demo_keys
from trunkline.cli.demo_keys import (
    Act,
    BringBack,
    CutNode,
    Freeze,
    KillPostmaster,
    Quit,
    Select,
    SwitchOver,
    act_for,
    labels,
)
from trunkline.cli.demo_scene import Row, Scene
from trunkline.lab.health import MemberHealth
from trunkline.lab.member import Condition


def scene(*, primary: str | None = "pg1", broken: Condition = Condition.RUNNING, busy: str = "") -> Scene:
    rows = tuple(
        Row(health=MemberHealth(name=name, takes_writes=name == primary), condition=condition)
        for name, condition in (("pg1", Condition.RUNNING), ("pg2", Condition.RUNNING), ("pg3", broken))
    )
    return Scene(rows=rows, selected="pg2", busy=busy)


@pytest.mark.parametrize(
    ("key", "act"),
    [
        ("s", SwitchOver()),
        ("k", KillPostmaster(member="pg1")),
        ("f", Freeze(member="pg1")),
        ("c", CutNode(member="pg2")),
        ("q", Quit()),
        ("3", Select(member="pg3")),
        ("9", None),
        ("b", None),
        ("x", None),
        ("", None),
        ("\x1b", None),
    ],
)
def test_with_everybody_well(key: str, act: Act | None) -> None:
    assert act_for(key, scene()) == act


@pytest.mark.parametrize("key", ["s", "k", "f"])
def test_without_a_primary_there_is_nothing_to_do_to_it(key: str) -> None:
    assert act_for(key, scene(primary=None)) is None


@pytest.mark.parametrize("condition", [Condition.DOWN, Condition.FROZEN, Condition.WITHOUT_PATRONI])
def test_whoever_is_away_is_brought_back(condition: Condition) -> None:
    assert act_for("b", scene(broken=condition)) == BringBack(members=("pg3",))


@pytest.mark.parametrize("key", ["s", "k", "f", "c", "b"])
def test_one_thing_at_a_time(key: str) -> None:
    assert act_for(key, scene(busy="switchover", broken=Condition.DOWN)) is None


@pytest.mark.parametrize("key", ["q", "2"])
def test_looking_around_and_leaving_are_always_possible(key: str) -> None:
    assert act_for(key, scene(busy="switchover")) is not None


def test_a_node_that_is_away_cannot_be_cut_again() -> None:
    gone = scene(broken=Condition.DOWN)
    assert act_for("c", Scene(rows=gone.rows, selected="pg3")) is None


def test_a_lone_node_has_nobody_to_switch_over_to() -> None:
    assert act_for("s", Scene(rows=scene().rows[:1])) is None


def test_labels_say_what_would_happen_now() -> None:
    offers = {key: (text, is_offered) for key, text, is_offered in labels(scene(broken=Condition.FROZEN))}
    assert offers["k"] == ("kill -9 pg1", True)
    assert offers["b"] == ("bring back pg3", True)
    assert not any(is_offered for key, _, is_offered in labels(scene(primary=None)) if key in "skf")


def test_the_examples_in_the_documentation() -> None:
    assert doctest.testmod(demo_keys).failed == 0
