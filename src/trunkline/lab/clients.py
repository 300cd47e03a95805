"""A small client that connects, runs one statement and closes, again and again, and keeps count.

What the live view shows of itself: not what a balancer says it would do, but what a client gets. `Tally` is the
arithmetic, `LoopingClient` the thread. (The benchmark and the tests keep every attempt: `trunkline.lab.load`.)
"""

import threading
import time
from collections import deque
from dataclasses import dataclass, field

import psycopg

TABLE = "trunkline_demo"
WRITE = f"insert into {TABLE} default values returning host(inet_server_addr())"
READ = "select host(inet_server_addr())"
RECENT_S = 2.0
# Longer than any balancer holds a client here; nobody waits for ever.
PATIENCE_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Where a client stands: attempts served and failed since its start, the rate of the last two seconds, the
    servers that answered in them, how long it has been waiting for an answer and the longest that it ever did."""

    served: int = 0
    failed: int = 0
    per_second: float = 0.0
    servers: tuple[str, ...] = ()
    waiting_s: float = 0.0
    longest_stall_s: float = 0.0
    last_failure: str = ""


@dataclass(slots=True)
class Tally:
    """Counts attempts; every moment is given from outside, in seconds of one clock."""

    served: int = 0
    failed: int = 0
    last_served: float | None = None
    longest_stall_s: float = 0.0
    last_failure: str = ""
    recent: deque[tuple[float, str]] = field(default_factory=deque)

    def count_served(self, now: float, server: str) -> None:
        """An attempt was served by this server."""
        self.served += 1
        self.longest_stall_s = max(self.longest_stall_s, self._stall_s(now))
        self.last_served = now
        self.recent.append((now, server))
        self._forget(now)

    def count_failed(self, reason: str) -> None:
        """An attempt was refused or broke off."""
        self.failed += 1
        self.last_failure = reason

    def report(self, now: float) -> Report:
        """Where it stands at this moment; a stall that still lasts counts."""
        self._forget(now)
        return Report(
            served=self.served,
            failed=self.failed,
            per_second=len(self.recent) / RECENT_S,
            servers=tuple(sorted({server for _, server in self.recent})),
            waiting_s=self._stall_s(now),
            longest_stall_s=max(self.longest_stall_s, self._stall_s(now)),
            last_failure=self.last_failure,
        )

    def _stall_s(self, now: float) -> float:
        return 0.0 if self.last_served is None else now - self.last_served

    def _forget(self, now: float) -> None:
        while self.recent and self.recent[0][0] < now - RECENT_S:
            self.recent.popleft()


class LoopingClient:
    """A thread that runs one statement per connection; the statement answers with the server's address."""

    def __init__(self, conninfo: str, statement: str, *, pause_s: float) -> None:
        self._conninfo = conninfo
        self._statement = statement
        self._pause_s = pause_s
        self._tally = Tally()
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        # A daemon: an attempt that a balancer holds must not hold the end of the demo.
        self._thread = threading.Thread(target=self._loop, name="looping client", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no further attempt."""
        self._is_over.set()

    def report(self) -> Report:
        """Where it stands now."""
        with self._lock:
            return self._tally.report(time.monotonic())

    def _loop(self) -> None:
        while not self._is_over.wait(self._pause_s):
            try:
                with psycopg.connect(self._conninfo, autocommit=True, connect_timeout=PATIENCE_S) as connection:
                    row = connection.execute(self._statement).fetchone()
            except psycopg.Error as error:
                with self._lock:
                    self._tally.count_failed(reason_of(str(error)))
                continue
            with self._lock:
                self._tally.count_served(time.monotonic(), str(row[0]) if row else "")


def reason_of(text: str) -> str:
    """The core of libpq's error text: without the address, which everybody knows, and the advice that follows.

    >>> reason_of('connection to server at "127.0.0.1", port 5000 failed: FATAL:  the database system is shutting down')
    'FATAL:  the database system is shutting down'
    """
    first, _, _ = text.strip().partition("\n")
    return first.rpartition(" failed: ")[2] or "no reason given"
