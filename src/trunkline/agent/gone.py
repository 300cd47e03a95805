"""Sessions that had to go: which HAProxy was told to end, and how many are gone, by its own count."""

import time
from collections.abc import Sequence

from trunkline.model.command import Command, EndSessions
from trunkline.model.facts import Ending, PortVerdict, Situation
from trunkline.plan.posture import Stance
from trunkline.plan.steering import END_AGAIN_S, judge_members

RETRY_S = 1.0


class Gone:
    """Kept from one cycle to the next."""

    def __init__(self) -> None:
        self._sessions: dict[str, dict[tuple[int, str], int]] = {}
        self._left: dict[str, int] = {}
        self._told: dict[tuple[str, str, int | None], tuple[int, float]] = {}

    def told(self, situation: Situation, done: Sequence[Command], refused: Sequence[Command] = ()) -> None:
        """HAProxy has taken these commands, and not those. What an old worker has not taken is told again after a
        second: one that hangs holds up every cycle that asks it."""
        now, proxy = time.monotonic(), situation.state.name
        counts: dict[tuple[str, int | None], int] = {(it.name, None): it.sessions for it in situation.state.servers}
        counts |= {(server, pid): count for pid, it, server, count in situation.workers.sessions if it == proxy}
        again = [it for it in refused if isinstance(it, EndSessions) and it.worker_pid is not None]
        moments = dict.fromkeys(done, now) | dict.fromkeys(again, now - END_AGAIN_S + RETRY_S)
        for command, at in moments.items():
            if isinstance(command, EndSessions):
                place = command.server, command.worker_pid
                self._told[proxy, *place] = counts.get(place, 0), at
        self._told = {key: it for key, it in self._told.items() if now - it[1] < END_AGAIN_S}

    def endings(self, proxy: str, now: float) -> tuple[Ending, ...]:
        """What it was told of late."""
        return tuple(
            Ending(server=server, worker_pid=pid, sessions=count, age_s=now - at)
            for (of, server, pid), (count, at) in self._told.items()
            if of == proxy
        )

    def count(self, situation: Situation, pid: int) -> int:
        """Sessions that are gone from servers which must not have them, compared with the cycle before: those that we
        have ended, those that HAProxy has ended with the server's health, and those that have died with PostgreSQL. Who
        leaves a server that may keep its sessions is none of them. `pid`: of the worker that serves.

        What a reload has left behind is there until the master has been asked: the new worker knows nothing of it.
        """
        proxy = situation.state.name
        now = {(pid, it.name): it.sessions for it in situation.state.servers if not it.is_backup}
        now |= {(pid, name): count for pid, at, name, count in situation.workers.sessions if at == proxy}
        before = self._sessions.get(proxy, {})
        if situation.workers.beside != pid:
            now = {key: count for key, count in before.items() if key[0] != pid} | now
        self._sessions[proxy] = now
        allowed = {it.name for it in situation.state.servers if it.takes_sessions}
        if any(count for key, count in (*before.items(), *now.items()) if key[1] not in allowed):
            allowed |= _who_may_keep(situation)
        self._left[proxy] = sum(count for key, count in now.items() if key[1] not in allowed)
        return sum(max(0, count - now.get(key, 0)) for key, count in before.items() if key[1] not in allowed)

    def left(self, proxy: str) -> int:
        """Sessions that were still there at the last count."""
        return self._left.get(proxy, 0)


def _who_may_keep(situation: Situation) -> set[str]:
    """Servers that get nobody new, and whose sessions nobody ends. One that we close looks for a moment as if a person
    had drained it, and is none of them: it does not say any more that all is well."""
    return {
        it.case.server.name
        for it in judge_members(situation)
        if it.stance is Stance.DRAINED
        or (it.stance is Stance.BY_HAND and it.case.passes)
        or (it.stance is Stance.CLOSED and it.case.port is PortVerdict.SILENT)
    }
