"""What one round was worth: from the attempts of its clients to the numbers that are compared. Pure.

An attempt that began while the old primary's port was still open was taken by a PostgreSQL that was about to go: such
failures are no balancer's doing and are counted apart (`in_flight`), for all alike. All others count by how they
ended.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from trunkline.lab.load import (
    CLOSED,
    READ_ONLY,
    REFUSED,
    STARTING_OR_STOPPING,
    UNANSWERED,
    WRITTEN,
    Attempt,
    Load,
)

# The witness asks every few milliseconds, on a machine that is busy just then.
WITNESS_IS_LATE_S = 0.25
SAID_BY_POSTGRESQL = "the database system is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One role change, in seconds of the monotonic clock. `old` and `new` are addresses of PostgreSQL; `struck`: the
    fault had arrived; `closed`: the old primary's postmaster was gone, and its port with it (some 20 ms later, in a
    clean shutdown), or was frozen, while its kernel went on to accept; `writable`: the new primary took writes from a
    session that goes through no balancer."""

    old: str
    new: str
    struck: float
    closed: float
    writable: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """The numbers of one round; every count is of attempts, every time in seconds.

    `gap_s` is Patroni's own: the fault until the new primary takes writes. `lag_s` is what the balancer adds to it,
    None when the new primary was never reached. `longest_wait_s`: the longest that one client went without a write
    that it wanted, all of its retries included. `straight_s`: how soon the first of as many clients has written that
    come to the new primary at once, without a balancer. `refused`: by TCP, or by the balancer with 57P03. `closed`:
    without a word. `stopping`: 57P03 by PostgreSQL itself. `unanswered`: the client gave up.
    """

    gap_s: float
    lag_s: float | None
    longest_wait_s: float
    straight_s: float
    attempts: int
    written: int
    in_flight: int
    read_only: int
    refused: int
    closed: int
    stopping: int
    unanswered: int
    other: int

    @property
    def failed(self) -> int:
        """Every attempt of the time after the fault that was not served."""
        return self.read_only + self.refused + self.closed + self.stopping + self.unanswered + self.other


def measure(load: Load, change: Change, *, straight_s: float) -> Measures:
    """Judge a round by its attempts."""
    served = load.first_served_by(change.new, after=change.writable - WITNESS_IS_LATE_S)
    later = [attempt for attempt in load.failures if attempt.began >= change.closed]
    counts = Counter(kind_of(attempt) for attempt in later)
    return Measures(
        gap_s=change.writable - change.struck,
        lag_s=served.ended - change.writable if served else None,
        longest_wait_s=longest_wait_s(load.attempts, since=change.struck),
        straight_s=straight_s,
        attempts=len(load.attempts),
        written=len(load.of(WRITTEN)),
        in_flight=len(load.failures) - len(later),
        read_only=counts["read_only"],
        refused=counts["refused"],
        closed=counts["closed"],
        stopping=counts["stopping"],
        unanswered=counts["unanswered"],
        other=counts["other"],
    )


def kind_of(failure: Attempt) -> str:
    """The field of `Measures` that counts this failure."""
    if failure.outcome == STARTING_OR_STOPPING:
        return "stopping" if SAID_BY_POSTGRESQL in failure.detail else "refused"
    kinds = {READ_ONLY: "read_only", REFUSED: "refused", CLOSED: "closed", UNANSWERED: "unanswered"}
    return kinds.get(failure.outcome, "other")


def longest_wait_s(attempts: Iterable[Attempt], *, since: float) -> float:
    """The longest that one client wanted to write and could not, of the waits that ended after `since`.

    A wait begins with an attempt and ends with the write that it, or one of its retries, achieves; one that achieves
    none ends with the client's last attempt.
    """
    by_client = sorted(attempts, key=lambda attempt: (attempt.client, attempt.began))
    waits: list[tuple[float, float]] = []
    for _, of_one in groupby(by_client, key=lambda attempt: attempt.client):
        waits += _waits(of_one)
    return max((ended - began for began, ended in waits if ended >= since), default=0.0)


def _waits(attempts: Iterable[Attempt]) -> list[tuple[float, float]]:
    waits: list[tuple[float, float]] = []
    is_served = True
    for attempt in attempts:
        began = attempt.began if is_served else waits.pop()[0]
        waits.append((began, attempt.ended))
        is_served = attempt.outcome == WRITTEN
    return waits
