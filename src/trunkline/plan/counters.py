"""HAProxy's own counters as a hint: sessions of the primary are gone at once, clients cannot connect to it. Pure.

A postmaster that dies takes every session with it, and HAProxy counts them before anybody has asked. But clients leave
by themselves, too, and one that opens and closes a single connection again and again empties the counter at every other
look. So only sessions that were there for a while can be missed, and each hint makes the next wait twice as long, until
another is served: an application that fools us does so some twenty times a day, whatever it does.
"""

from dataclasses import dataclass, replace

STEADY_S = 3.0
"""There was a session at every look for so long: they are missed when they are gone."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 10.0, 7200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """What the looks at one service have seen. `server`: who was served; `since_s`: since when it has had sessions at
    every look, None where it had none; `failed`: connects of clients so far; `next_s`: no hint before that; `pause_s`:
    after the next one. Moments are of a clock that only goes forward."""

    server: str | None = None
    since_s: float | None = None
    failed: int = 0
    next_s: float = 0.0
    pause_s: float = FIRST_PAUSE_S


def looked(before: Counter, server: str | None, sessions: int, failed: int, now_s: float) -> tuple[Counter, bool]:
    """The counter after another look at who is served (None for nobody), and whether that is a hint."""
    if server is None or server != before.server:
        return Counter(server=server, since_s=now_s if server and sessions else None, failed=failed), False
    is_missed = not sessions and before.since_s is not None and now_s - before.since_s >= STEADY_S
    since_s = (before.since_s if before.since_s is not None else now_s) if sessions else None
    after = replace(before, since_s=since_s, failed=failed)
    if not (is_missed or failed > before.failed) or now_s < before.next_s:
        return after, False
    pause_s = min(2 * before.pause_s, LONGEST_PAUSE_S)
    return replace(after, next_s=now_s + before.pause_s, pause_s=pause_s), True
