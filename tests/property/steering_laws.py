"""The laws of the planner, as functions of it: so that a planner that was broken on purpose can be held against them.

Each takes `steer` and a world, and returns what is wrong, "" where nothing is.
"""

from collections.abc import Callable
from dataclasses import replace

from steering_world import World

from trunkline.model.cluster import Role
from trunkline.model.command import Command, EndSessions, Plan, SetHealth, Stick, Unstick, words
from trunkline.model.desired import ServiceKind
from trunkline.model.facts import MemberFacts, PortVerdict, Situation, Sticky
from trunkline.plan.posture import Stance
from trunkline.plan.steering import judge_members

Steer = Callable[[Situation], Plan]
Law = Callable[[Steer, World], str]
MOST_CYCLES = 5
JUST_S, FRESH_S, PORT_S, KEY_S, MARGIN_S = 0.25, 3.0, 2.0, 1.0, 0.3
"""What is promised of ages, said again here: a planner that promises something else is broken."""


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


def goes_on_beside_a_refusal(steer: Steer, world: World) -> str:
    """Whatever single command HAProxy refuses for ever: no second member takes writes, and the rest comes to rest."""
    for refused in _commands_of_a_while(steer, world):
        now = world
        for _ in range(MOST_CYCLES):
            for command in performed(steer(now.situation()), refused):
                now = now.after([command])
                if world.kind is ServiceKind.PRIMARY and len(now.writers) > max(1, len(world.writers)):
                    return f"{sorted(now.writers)} while {refused} is refused"
        left = [command for command in performed(steer(now.situation()), refused) if now.after([command]) != now]
        if left:
            return f"while {refused} is refused it never ends: {[words(it) for it in left]}"
    return ""


def performed(plan: Plan, refused: str) -> list[Command]:
    """What is done of a plan while this command is refused: as the agent's executor does it, up to the refusal, unless
    that is of an old worker or a precaution; what cannot be done gently is done at once."""
    done: list[Command] = []
    for command in plan.commands:
        if words(command) != refused:
            done.append(command)
        elif isinstance(command, SetHealth) and command.is_gentle:
            done.append(replace(command, is_gentle=False))
        elif not may_be_refused(command):
            break
    return done


def may_be_refused(command: Command) -> bool:
    """Nothing that follows hangs on it."""
    is_elsewhere = isinstance(command, EndSessions) and command.worker_pid is not None
    return is_elsewhere or (isinstance(command, Stick) and command.is_precaution)


def _commands_of_a_while(steer: Steer, world: World) -> list[str]:
    """Every command that is planned until nothing is left to do."""
    found: dict[str, None] = {}
    for _ in range(MOST_CYCLES):
        plan = steer(world.situation())
        found |= dict.fromkeys(map(words, plan.commands))
        world = world.after(plan.commands)
    return list(found)


def a_reload_admits_one_writer(steer: Steer, world: World) -> str:
    """A reload between any two commands: HAProxy forgets who is up and what is leased, and no prefix of what is done
    then gives sessions to a second member."""
    if world.kind is not ServiceKind.PRIMARY:
        return ""
    commands = steer(world.situation()).commands
    for length in range(len(commands) + 1):
        now = world.after(commands[:length]).reloaded()
        for _ in range(MOST_CYCLES):
            for command in steer(now.situation()).commands:
                now = now.after([command])
                if len(now.writers) > 1:
                    return f"{sorted(now.writers)} after {words(command)}, reloaded after {length}"
    return ""


def opens_who_has_passed(steer: Steer, world: World) -> str:
    """A server of the primary's port is forced up only where its member has just passed the truth check itself."""
    facts = {it.server: it for it in world.facts}
    for command in steer(world.situation()).commands:
        if isinstance(command, SetHealth) and command.is_up and world.kind is ServiceKind.PRIMARY:
            rest = facts[command.server].rest
            if rest is None or rest.answer is None or not rest.answer.accepts_writes or rest.age_s > JUST_S:
                return f"{words(command)} on {rest}"
    return ""


def ends_what_must_end(steer: Steer, world: World) -> str:
    """Who says itself that it is no primary, or is silent when the leader key is lost, has no session in the end, in no
    worker."""
    if world.kind is not ServiceKind.PRIMARY:
        return ""
    end = settled(steer, world)
    for name in (it.name for it in world.facts if _must_go(world, it) and _is_ours(world, it)):
        machine = next((it for it in end.machines if it.name == name), None)
        if machine is None:
            continue  # what old workers have of it is another's case: HAProxy does not know it any more
        if machine.admits or machine.sessions or any(it[1] == name for it in end.old):
            return f"{name} has sessions, or may have"
    return ""


def cuts_off_nobody_without_need(steer: Steer, world: World) -> str:
    """A primary whose API is silent goes on while its PostgreSQL answers and the leader key is its own."""
    is_anybody = any(_passes(it) for it in world.facts)
    if world.kind is not ServiceKind.PRIMARY or is_anybody:
        return ""
    for facts in world.facts:
        machine = next((it for it in world.machines if it.name == facts.name), None)
        if machine is None or not machine.admits or not _is_ours(world, facts):
            continue
        if _is_silent(facts) and _answers(facts) and _has_key(world, facts):
            for command in steer(world.situation()).commands:
                world = world.after([command])
                if facts.name not in world.writers or any(
                    it.name == facts.name and it.sessions < machine.sessions for it in world.machines
                ):
                    return f"{facts.name} was served, and {words(command)}"
    return ""


def _must_go(world: World, facts: MemberFacts) -> bool:
    rest, key = facts.rest, world.key
    if rest is None or rest.age_s > FRESH_S:
        return False
    if rest.answer is not None:
        return rest.answer.role is Role.REPLICA and not rest.answer.accepts_writes
    return key is not None and key.age_s <= KEY_S and key.holder != facts.name


def _is_ours(world: World, facts: MemberFacts) -> bool:
    """No person has set it, and HAProxy has it where Patroni has it."""
    machine = next((it for it in world.machines if it.name == facts.name), None)
    is_there = machine is None or "" in (machine.address, facts.address) or machine.address == facts.address
    return is_there and facts.name not in world.by_hand


def _passes(facts: MemberFacts) -> bool:
    rest = facts.rest
    return rest is not None and rest.age_s <= FRESH_S and rest.answer is not None and rest.answer.accepts_writes


def _is_silent(facts: MemberFacts) -> bool:
    return facts.rest is not None and facts.rest.age_s <= FRESH_S and facts.rest.answer is None


def _answers(facts: MemberFacts) -> bool:
    return facts.port is not None and facts.port.age_s <= PORT_S and facts.port.verdict is PortVerdict.ANSWERS


def _has_key(world: World, facts: MemberFacts) -> bool:
    key = world.key
    if key is None or key.age_s > KEY_S or key.holder != facts.name:
        return False
    return key.remaining_s is None or key.remaining_s > MARGIN_S


def leaves_hands_alone(steer: Steer, world: World) -> str:
    """What people have set is as they have set it, and nothing is done to that server."""
    touched = {it.server for it in steer(world.situation()).commands if not isinstance(it, EndSessions | Unstick)}
    return f"{sorted(touched & world.by_hand)} were set by hand" if touched & world.by_hand else ""


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
    a_reload_admits_one_writer,
    admits_one_writer,
    goes_on_beside_a_refusal,
    opens_who_has_passed,
    ends_what_must_end,
    cuts_off_nobody_without_need,
    leaves_hands_alone,
    drains_who_shall_be_drained,
    leaves_the_primary_its_port,
)
