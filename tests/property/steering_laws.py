"""The laws of the planner, as functions of it: so that a planner that was broken on purpose can be held against them.

Each takes `steer` and a world, and returns what is wrong, "" where nothing is.
"""

from collections.abc import Callable
from dataclasses import replace

from steering_world import World

from trunkline.model.command import EndSessions, Plan, Stick, Unstick, words
from trunkline.model.desired import ServiceKind
from trunkline.model.facts import Situation, Sticky
from trunkline.plan.posture import Stance
from trunkline.plan.steering import judge_members

Steer = Callable[[Situation], Plan]
Law = Callable[[Steer, World], str]
MOST_CYCLES = 5


def is_deterministic(steer: Steer, world: World) -> str:
    """The same situation gives the same plan."""
    return "" if steer(world.situation()) == steer(world.situation()) else "two plans for one situation"


def converges(steer: Steer, world: World) -> str:
    """When a plan is done, a few more at most are left to do, and then nothing is."""
    for _ in range(MOST_CYCLES):
        plan = steer(world.situation())
        if not plan.commands:
            return ""
        world = world.after(plan.commands)
    return (
        f"still to do after {MOST_CYCLES} cycles: {[words(command) for command in steer(world.situation()).commands]}"
    )


def says_nothing_twice(steer: Steer, world: World) -> str:
    """No command for something that is so already."""
    for command in steer(world.situation()).commands:
        after = world.after([command])
        if after == world and not isinstance(command, EndSessions):
            return f"{words(command)} changes nothing"
        world = after
    return ""


def heals_after_a_crash(steer: Steer, world: World) -> str:
    """Whoever goes on after any prefix of a plan ends where the whole of it ends."""
    whole = settled(steer, world)
    commands = steer(world.situation()).commands
    for length in range(len(commands)):
        if settled(steer, world.after(commands[:length])) != whole:
            return f"after {[words(it) for it in commands[:length]]} it ends elsewhere"
    return ""


def survives_a_reload(steer: Steer, world: World) -> str:
    """A reload between any two commands: it converges, too."""
    commands = steer(world.situation()).commands
    for length in range(len(commands) + 1):
        problem = converges(steer, world.after(commands[:length]).reloaded())
        if problem:
            return f"reloaded after {length}: {problem}"
    return ""


def admits_one_writer(steer: Steer, world: World) -> str:
    """No prefix gives sessions of the primary to a second member, where one at most had them before."""
    if world.kind is not ServiceKind.PRIMARY:
        return ""
    for command in steer(world.situation()).commands:
        world = world.after([command])
        if len(world.writers) > 1:
            return f"{sorted(world.writers)} after {words(command)}"
    return ""


def leaves_hands_alone(steer: Steer, world: World) -> str:
    """What people have set is as they have set it, and nothing is done to that server."""
    touched = {it.server for it in steer(world.situation()).commands if not isinstance(it, EndSessions | Unstick)}
    return f"{sorted(touched & world.by_hand)} were set by hand" if touched & world.by_hand else ""


def leases_what_can_be_leased(steer: Steer, world: World) -> str:
    """HAProxy could not undo what it does not see."""
    unseen = {it.name for it in world.machines if it.is_unseen}
    stuck = {it.server for it in steer(world.situation()).commands if isinstance(it, Stick)}
    return f"{sorted(stuck & unseen)} cannot be leased" if stuck & unseen else ""


def drains_who_shall_be_drained(steer: Steer, world: World) -> str:
    """When all is done nobody new goes to who is drained, not even after its next good check; and what only a drain
    has closed is open again when it is over."""
    if world.kind is ServiceKind.PRIMARY:
        return ""
    done = settled(steer, world)
    open_still = {it.name for it in done.machines if replace(it, is_up=not it.is_maint).admits} & done.drained
    if open_still:
        return f"{sorted(open_still)} would take sessions"
    over = settled(steer, replace(done, asked=()))
    judged = {it.case.server.name: it.stance for it in judge_members(over.situation())}
    closed = {it.name for it in over.machines if Sticky.DRAIN in it.noted and it.name in judged}
    extra = {name for name in closed if judged[name] not in (Stance.CLOSED, Stance.BY_HAND)}
    return f"{sorted(extra)} are closed for nothing" if extra else ""


def leaves_the_primary_its_port(steer: Steer, world: World) -> str:
    """What people ask for of a member means nothing to the primary's port."""
    if world.kind is not ServiceKind.PRIMARY:
        return ""
    same = steer(world.situation()) == steer(replace(world, asked=()).situation())
    return "" if same else "a drain has changed the primary's port"


def settled(steer: Steer, world: World) -> World:
    """The world when nothing is left to do."""
    for _ in range(MOST_CYCLES):
        world = world.after(steer(world.situation()).commands)
    return world


LAWS: tuple[Law, ...] = (
    is_deterministic,
    converges,
    says_nothing_twice,
    heals_after_a_crash,
    survives_a_reload,
    admits_one_writer,
    leaves_hands_alone,
    leases_what_can_be_leased,
    drains_who_shall_be_drained,
    leaves_the_primary_its_port,
)
