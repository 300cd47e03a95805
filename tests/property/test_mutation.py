"""A planner that was broken on purpose is found out: by a law, or by an example.

Each mutant is the source with one thing changed; if the source has changed so that a mutant means nothing any more, the
test says so. Worlds are seeded, so that a mutant that is found out once is found out always.
"""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from steering_examples import EXAMPLES
from steering_laws import LAWS
from steering_world import any_world

from trunkline.model.command import words
from trunkline.plan import posture, steering

WORLDS = 400
POSTURE, STEERING = (Path(str(module.__file__)).read_text() for module in (posture, steering))

MUTANTS = {
    "openings before closings": (
        STEERING,
        "(*closings, *fences, *suspensions, *openings, *precautions)",
        "(*openings, *fences, *suspensions, *closings, *precautions)",
    ),
    "no fence": (STEERING, "(*closings, *fences, ", "(*closings, "),
    "no fence of old workers": (
        STEERING,
        "(situation, judgements), *_old_workers(situation, judgements)]",
        "(situation, judgements)]",
    ),
    "openings without looking who is in": (STEERING, "not is_primary or taking <= {server.name}", "True"),
    "who was let in is forgotten": (STEERING, "taking.add(server.name)", "pass"),
    "opens without the truth check": (
        STEERING,
        "(Stance.SERVES, Stance.KEPT) and judgement.case.passes_now",
        "(Stance.SERVES, Stance.KEPT)",
    ),
    "a fence that waits": (
        STEERING,
        "is_gentle = server.takes_sessions and judgement.stance is Stance.OUT",
        "is_gentle = server.takes_sessions",
    ),
    "nobody is closed gently": (STEERING, "is_gentle = server.takes_sessions and", "is_gentle = False and"),
    "gently what is closed already": (STEERING, "is_gentle = server.takes_sessions and", "is_gentle ="),
    "up and down exchanged": (
        STEERING,
        "is_up=False, reason=reason, is_gentle=is_gentle",
        "is_up=True, reason=reason, is_gentle=is_gentle",
    ),
    "closes what is closed": (
        STEERING,
        "if server.takes_sessions or server.health in (Health.NOLB, Health.DRAIN)",
        "if True",
    ),
    "sessions of one that is down stay": (STEERING, "elif is_primary and _has", "elif False and _has"),
    "never gives checks back": (STEERING, "if Sticky.CHECKS in stuck and (", "if False and ("),
    "gives checks back at once": (STEERING, "SUSPENDED_AT_LEAST_S = 1.0", "SUSPENDED_AT_LEAST_S = 100.0"),
    "barred without suspending": (STEERING, "if judgement.stance is Stance.BARRED and", "if False and"),
    "two winners": (STEERING, "timelines[-1][0] > timelines[-2][0]", "timelines[-1][0] >= timelines[-2][0]"),
    "the older timeline wins": (STEERING, "return timelines[-1][1]", "return timelines[0][1]"),
    "the key decides nothing": (STEERING, "if case.holds_key]", "if False]"),
    "fences everybody": (
        STEERING,
        "is_out = _is_out_of_old_workers(judgement) if judgement else has_winner",
        "is_out = True",
    ),
    "keys are fresh for ever": (POSTURE, "KEY_FRESH_S = 1.0", "KEY_FRESH_S = 1e9"),
    "ports are fresh for ever": (POSTURE, "PORT_FRESH_S = 2.0", "PORT_FRESH_S = 1e9"),
    "answers are fresh for ever": (POSTURE, "REST_FRESH_S = 3.0", "REST_FRESH_S = 1e9"),
    "no margin before the end of the lease": (POSTURE, "FENCE_BEFORE_S = 0.3", "FENCE_BEFORE_S = 0.0"),
    "a key counts from when it was asked for": (
        POSTURE,
        "return key.age_s <= rest.answered_s",
        "return key.age_s <= rest.age_s",
    ),
    "an older port counts": (POSTURE, "port.age_s <= max(rest.answered_s, rest.well_s)", "True"),
    "each answer makes a dead port well": (POSTURE, "max(rest.answered_s, rest.well_s)", "rest.answered_s"),
    "opens on any answer": (POSTURE, "YOUNG_S = 0.25", "YOUNG_S = 1e9"),
    "an address is like any other": (POSTURE, "fits=lambda case: case.is_elsewhere", "fits=lambda case: False"),
    "leases of who is gone stay": (STEERING, "for server in unknown))", "for server in ()))"),
    "a stick before a fall": (
        STEERING,
        "case SetHealth():\n            return 0",
        "case SetHealth():\n            return 4",
    ),
    "ends what was just ended": (STEERING, "it.age_s >= END_AGAIN_S or count", "True or count"),
    "never ends again": (STEERING, "END_AGAIN_S = 5.0", "END_AGAIN_S = 1e9"),
    "by hand means nothing": (POSTURE, "fits=lambda case: case.is_by_hand", "fits=lambda case: False"),
    "two claims mean nothing": (POSTURE, "case.passes and case.rivals > 1 and case.winner is not None", "False"),
    "silence with a lost key means nothing": (POSTURE, "case.is_silent and case.has_lost_key", "False"),
    "silence beside a winner means nothing": (POSTURE, "case.is_silent and case.winner is not None", "False"),
    "kept whoever has the key": (POSTURE, "_may_be_kept(case) and case.holds_key", "_may_be_kept(case)"),
    "kept whatever the port says": (
        POSTURE,
        "case.is_silent and case.port is PortVerdict.ANSWERS",
        "case.is_silent",
    ),
    "sessions of who has left stay": (STEERING, "[*_departed(situation, judgements), ", "["),
    "lag in seconds means nothing": (POSTURE, "fits=lambda case: case.is_late", "fits=lambda case: False"),
    "any lag is too much": (POSTURE, "self.facts.rest.lag_s > self.lag_limit_s", "True"),
    "a drain means nothing": (POSTURE, "fits=lambda case: case.drain is not None", "fits=lambda case: False"),
    "a drain has no end": (
        STEERING,
        "(it.drain for it in situation.asked if it.is_in_force)",
        "(it.drain for it in situation.asked)",
    ),
    "the drain of one is the drain of all": (
        STEERING,
        " if to_haproxy(drain.member) == facts.server), None)",
        "), None)",
    ),
    "a drained member keeps its checks suspended": (
        STEERING,
        "(Stance.OUT, Stance.BY_HAND, Stance.DRAINED)",
        "(Stance.OUT, Stance.BY_HAND)",
    ),
    "drained only once it serves": (STEERING, "*openings, *precautions)", "*openings)"),
    "drained again and again": (
        STEERING,
        "and not is_open and not stuck & {Sticky.DRAIN, Sticky.MAINT}",
        "and not is_open",
    ),
    "a drain is opened again at once": (
        STEERING,
        "Stance.CLOSED, Stance.DRAINED):\n            continue",
        "Stance.CLOSED):\n            continue",
    ),
    "a drain takes the primary's port": (
        STEERING,
        "rows = PRIMARY_ROWS if situation.kind is ServiceKind.PRIMARY else REPLICA_ROWS",
        "rows = (*REPLICA_ROWS[1:2], *PRIMARY_ROWS) if situation.kind is ServiceKind.PRIMARY else REPLICA_ROWS",
    ),
    "who is not known yet is fenced": (
        STEERING,
        "if is_stranger and not server.takes_sessions and",
        "if is_stranger and",
    ),
    "who has left is fenced without another": (
        STEERING,
        "ServiceKind.PRIMARY or not has_winner:\n        return",
        "ServiceKind.PRIMARY:\n        return",
    ),
    "one odd answer is enough": (POSTURE, "case.is_odd and _is_dead(case.port)", "case.is_odd"),
    "a replica passes the truth check": (
        POSTURE,
        "self.answer.accepts_writes\n\n    @property\n    def passes_now",
        "True\n\n    @property\n    def passes_now",
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_planner_is_found_out(name: str) -> None:
    source, old, new = MUTANTS[name]
    assert source.count(old) >= 1, "this mutant changes nothing any more: write it anew"
    with loaded(source, source.replace(old, new)) as mutant:
        assert problems(mutant), "nothing has noticed"


def test_the_planner_itself_has_no_problems() -> None:
    with loaded(STEERING, STEERING) as same:
        assert problems(same) == []


@contextmanager
def loaded(source: str, changed: str) -> Iterator[ModuleType]:
    """The planner with one of its two files changed."""
    texts = {"posture": POSTURE, "steering": STEERING}
    texts["posture" if source is POSTURE else "steering"] = changed
    names = {name: f"mutated_{name}" for name in texts}
    try:
        for name, text in texts.items():
            module = sys.modules[names[name]] = ModuleType(names[name])
            text = text.replace("from trunkline.plan.posture import", f"from {names['posture']} import")
            exec(compile(text, f"<{names[name]}>", "exec"), module.__dict__)
        yield sys.modules[names["steering"]]
    finally:
        for name in names.values():
            sys.modules.pop(name, None)


def problems(module: ModuleType) -> list[str]:
    """The first thing that is wrong with it, if anything is."""
    steer = module.steer
    try:
        for example in EXAMPLES:
            if tuple(words(command) for command in steer(example.world.situation()).commands) != example.commands:
                return [f"the example: {example.name}"]
        for seed in range(WORLDS):
            world = any_world(random.Random(seed))
            for law in LAWS:
                problem = law(steer, world)
                if problem:
                    return [f"{law.__name__}: {problem}"]
    except (TypeError, ValueError, AttributeError, KeyError, IndexError, StopIteration) as error:
        return [f"it does not even run: {error!r}"]
    return []
