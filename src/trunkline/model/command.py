"""What the agent may do to HAProxy, as values; each with the reason that a person reads.

`trunkline.plan.steering` makes them, `trunkline.agent.executor` performs them, `trunkline plan` prints them. Names are
HAProxy's. Nothing here acts.
"""

from dataclasses import dataclass

from trunkline.model.facts import Sticky


@dataclass(frozen=True, slots=True, kw_only=True)
class SetHealth:
    """`set server P/S health up|down`: at once; the next results of checks may say otherwise. `is_gentle`: no new
    sessions at once, and the end of those that it has a moment later, so that nobody who is just being connected to a
    port that refuses is closed without a word."""

    proxy: str
    server: str
    is_up: bool
    reason: str
    is_gentle: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stick:
    """Set something that stays, under the lease. `is_precaution`: nothing that follows hangs on it, so that a refusal
    ends nothing."""

    proxy: str
    server: str
    what: Sticky
    reason: str
    is_precaution: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unstick:
    """Undo it."""

    proxy: str
    server: str
    what: Sticky
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSessions:
    """`shutdown sessions server P/S` in the worker that serves. In one that a reload left behind (`worker_pid`) it is
    `shutdown session` for each: of a proxy that has stopped HAProxy takes no command about a server."""

    proxy: str
    server: str
    reason: str
    worker_pid: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSession:
    """`shutdown session ID`: one alone, in the worker that serves. `server` is where it ends at."""

    proxy: str
    server: str
    session_id: str
    reason: str


Command = SetHealth | Stick | Unstick | EndSessions | EndSession


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Commands in the order in which they are performed, and what should be known (`warnings`)."""

    commands: tuple[Command, ...] = ()
    warnings: tuple[str, ...] = ()


def words(command: Command) -> str:
    """The command as an operator would type it."""
    target = f"{command.proxy}/{command.server}"
    match command:
        case SetHealth(is_up=False, is_gentle=True):
            return f"trunkline close {target}"
        case SetHealth():
            return f"set server {target} health {'up' if command.is_up else 'down'}"
        case Stick():
            return f"trunkline stick {target} {command.what}"
        case Unstick():
            return f"trunkline unstick {target} {command.what}"
        case EndSessions(worker_pid=None):
            return f"shutdown sessions server {target}"
        case EndSessions(worker_pid=pid):
            return f"@!{pid} shutdown session of each at {target}"
        case EndSession():
            return f"shutdown session {command.session_id}"
