"""How far replicas are behind in seconds, from answer to answer.

Patroni tells the time of the last transaction that a replica has replayed, which is old on an idle cluster, too. So
it counts only while the replica has replayed less than the primary had written when it was last asked, and never for
longer than that has been so.
"""

from trunkline.model.cluster import MemberAnswer


class Lags:
    """Of the replicas of one cluster; kept from one answer to the next."""

    def __init__(self) -> None:
        self._written: int | None = None
        self._behind_since: dict[str, float] = {}

    def lag_s(self, name: str, answer: MemberAnswer, now: float, epoch_s: float) -> float | None:
        """Seconds, 0 for one that has caught up, None where nobody can tell. `now`: of a clock that only goes forward,
        `epoch_s`: at the same moment, of PostgreSQL's kind."""
        if answer.accepts_writes:
            self._written = answer.writes_location
        if answer.replay_location is None or self._written is None:
            self._behind_since.pop(name, None)
            return None
        if answer.replay_location >= self._written:
            self._behind_since.pop(name, None)
            return 0.0
        since = self._behind_since.setdefault(name, now)
        return None if answer.replayed_at is None else max(0.0, min(now - since, epoch_s - answer.replayed_at))

    def forget(self, name: str) -> None:
        """It is asked no more."""
        self._behind_since.pop(name, None)
