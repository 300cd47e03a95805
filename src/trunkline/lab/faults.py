"""What can be done to the leader, and the sign by which the kernel or PostgreSQL shows that it has arrived.

The tests and the benchmark do the same faults through this one list. When a fault was *asked for* is no use to either:
a switchover reaches PostgreSQL seconds after the request, and what a client began before that was merely under way.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from trunkline.errors import LabError
from trunkline.lab.cluster import Lab
from trunkline.lab.member import Member
from trunkline.lab.processes import wait_until
from trunkline.lab.procfs import ProcessId, is_alive, is_stopped

POLL_S = 0.001
ARRIVAL_TIMEOUT_S = 60.0

Sign = Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`strike` does it to the leader of that name; `sign` makes, before that, the question whether it has arrived."""

    name: str
    strike: Callable[[Lab, str], object]
    sign: Callable[[Member], Sign]
    is_silent: bool = False
    """The port goes on to take connections, and nothing is answered."""

    def __str__(self) -> str:
        return self.name


def moment_of(sign: Sign) -> float:
    """When it has become so, by the monotonic clock. Blocks; LabError when it does not become so."""
    if not wait_until(sign, timeout_s=ARRIVAL_TIMEOUT_S, poll_s=POLL_S):
        raise LabError(f"the fault has not arrived within {ARRIVAL_TIMEOUT_S:.0f} s")
    return time.monotonic()


def is_asked_to_shut_down(member: Member) -> Sign:
    """PostgreSQL has written that it was."""
    log = member.place.directory / "postgresql.log"
    before = log.stat().st_size

    def has_said_so() -> bool:
        if log.stat().st_size == before:
            return False
        with log.open("rb") as lines:
            lines.seek(before)
            return b"received fast shutdown request" in lines.read()

    return has_said_so


def is_dead(member: Member) -> Sign:
    """The postmaster that runs now has ended."""
    postmaster = _running(member)
    return lambda: not is_alive(postmaster)


def is_still(member: Member) -> Sign:
    """The postmaster that runs now is stopped."""
    postmaster = _running(member)
    return lambda: is_stopped(postmaster)


def _running(member: Member) -> ProcessId:
    postmaster = member.postmaster
    if postmaster is None:
        raise LabError(f"PostgreSQL of {member.name} does not run")
    return postmaster


SWITCHOVER = Fault(name="switchover", strike=lambda lab, _: lab.switchover(), sign=is_asked_to_shut_down)
KILLED_POSTMASTER = Fault(name="kill-postmaster", strike=Lab.kill_postmaster, sign=is_dead)
LOST_NODE = Fault(name="node-loss", strike=Lab.kill_node, sign=is_dead)
FROZEN_NODE = Fault(name="freeze", strike=Lab.freeze_node, sign=is_still, is_silent=True)
FAULTS = (SWITCHOVER, KILLED_POSTMASTER, LOST_NODE, FROZEN_NODE)
