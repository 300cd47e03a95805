"""Every way in which a HAProxy comes to load its configuration again, and how one sees that it has.

Talks to the master socket in HAProxy's own words where an operator would, so that none of ours stands between.
"""

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from trunkline.adapters.runtime_socket import MasterSocket, exchange
from trunkline.errors import RuntimeSocketError
from trunkline.lab.balancer import Balancer
from trunkline.lab.load import CLOSED, REFUSED, WRITTEN, Attempt, Load

RELOAD_TIMEOUT_S = 30.0
SOCKET_TIMEOUT_S = 5.0
POLL_S = 0.02
LISTENING_POLL_S = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One way to ask for a reload."""

    name: str
    ask: Callable[[Balancer], None]

    def __str__(self) -> str:
        return self.name


def _hang_up(balancer: Balancer) -> None:
    assert balancer.pid is not None
    os.kill(balancer.pid, signal.SIGHUP)


def _user_signal(balancer: Balancer) -> None:
    assert balancer.haproxy_pid is not None
    os.kill(balancer.haproxy_pid, signal.SIGUSR2)


def _master_command(balancer: Balancer) -> None:
    # 2.6 executes itself anew without a goodbye
    with suppress(RuntimeSocketError):
        asyncio.run(exchange(str(balancer.directory / "master.sock"), "reload", timeout_s=SOCKET_TIMEOUT_S))


KINDS = (
    Kind(name="sighup", ask=_hang_up),
    Kind(name="usr2", ask=_user_signal),
    Kind(name="master-socket", ask=_master_command),
)


async def reload(balancer: Balancer, kind: Kind) -> None:
    """Ask for one reload; back when another worker serves."""
    before = await serving_worker(balancer)
    await asyncio.to_thread(kind.ask, balancer)
    async with asyncio.timeout(RELOAD_TIMEOUT_S):
        while True:
            if await serving_worker(balancer) not in (None, before):
                return
            await asyncio.sleep(POLL_S)


async def serving_worker(balancer: Balancer) -> int | None:
    """The pid of the worker that listens; None while the master is busy with a reload."""
    return next((pid for pid, is_old in await _workers(balancer) if not is_old), None)


async def old_workers(balancer: Balancer) -> list[int]:
    """The pids of those that a reload has left behind."""
    return [pid for pid, is_old in await _workers(balancer) if is_old]


async def wait_no_old_worker(balancer: Balancer, *, timeout_s: float) -> float:
    """How long it took until none was left; TimeoutError, with what they still hold, when one stays."""
    began = time.monotonic()
    while True:
        remaining = await old_workers(balancer)
        serving = await serving_worker(balancer)
        if serving is not None and not remaining:
            return time.monotonic() - began
        if time.monotonic() - began > timeout_s:
            raise TimeoutError(f"old workers stay: {await _sessions_of(balancer, remaining)}")
        await asyncio.sleep(POLL_S)


@dataclass(slots=True)
class Listening:
    """`since`: when a port was first seen to take a connection."""

    since: float = float("inf")

    def failures(self, load: Load) -> list[Attempt]:
        """What was not served, but for whoever came before anybody listened.

        CLOSED is excused as REFUSED is: psycopg takes a refusal that arrives a moment late for a connection that was
        closed. Whether HAProxy has hung up on anybody its log must say.
        """
        return [it for it in load.failures if it.outcome not in (REFUSED, CLOSED) or it.began > self.since]


def strangers(load: Load, servers: set[str]) -> list[Attempt]:
    """Sessions on a server that is none of these."""
    return [attempt for attempt in load.of(WRITTEN) if attempt.server not in servers]


@contextmanager
def noticing(address: tuple[str, int]) -> Iterator[Listening]:
    """Knock at a port, as long as the block lasts, until it takes a connection. In a thread of its own: what happens
    before it has noticed is excused, so it must not be late."""
    seen, is_over = Listening(), threading.Event()

    def knock() -> None:
        while not is_over.wait(LISTENING_POLL_S):
            with suppress(OSError), socket.create_connection(address):
                seen.since = time.monotonic()
                return

    knocking = threading.Thread(target=knock, name=f"knock at {address[1]}")
    knocking.start()
    try:
        yield seen
    finally:
        is_over.set()
        knocking.join()


async def _workers(balancer: Balancer) -> list[tuple[int, bool]]:
    try:
        workers = await MasterSocket(balancer.directory / "master.sock").workers()
    except RuntimeSocketError:
        return []
    return [(worker.pid, worker.is_old) for worker in workers]


async def _sessions_of(balancer: Balancer, pids: list[int]) -> str:
    told = []
    for pid in pids:
        with suppress(RuntimeSocketError):
            path = str(balancer.directory / "master.sock")
            told.append(f"{pid}: " + await exchange(path, f"@!{pid} show sess", timeout_s=SOCKET_TIMEOUT_S))
    return "; ".join(told) or ", ".join(map(str, pids))
