"""A time without a primary that we open and close: nobody is promoted meanwhile, and no session of PostgreSQL ends.

Patroni of the leader is stopped, so its API is silent; after a third of the ttl (or as long as `silence_timeout_s`
says) HAProxy takes the leader for gone. Before its leader key runs out Patroni goes on, and all is as before.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.lab.role_change import leader_of, takes_writes, until
from tests.lab.session_log import logged_since
from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.lab.balancer import Balancer

QUICK = {"checks": {"silence_timeout_s": 1.0}}
"""Settings with which a gap begins after a second."""

NOTICED_TIMEOUT_S = 15.0
POLL_S = 0.02
PROTOCOL_3_0 = 196608


@asynccontextmanager
async def gap(balancer: Balancer) -> AsyncIterator[str]:
    """From when HAProxy has no primary to when Patroni speaks again; the leader's name. The ttl bounds it: ten seconds
    with the default settings, fifteen with `QUICK`."""
    lab = balancer.lab
    leader = leader_of(lab)
    await asyncio.to_thread(lab.freeze_patroni, leader)
    try:
        async with asyncio.timeout(NOTICED_TIMEOUT_S):
            while True:
                if not await takes_writes(balancer, leader):
                    break
                await asyncio.sleep(POLL_S)
        yield leader
    finally:
        await asyncio.to_thread(lab.thaw_patroni, leader)


async def held(balancer: Balancer, service: str = "primary") -> int:
    """How many clients wait, as HAProxy says."""
    view = await RuntimeSocket(balancer.admin_socket).view()
    return dict(view.held).get(f"postgres_{service}", 0)


async def wait_held(balancer: Balancer, count: int, *, timeout_s: float, service: str = "primary") -> None:
    """Back when so many wait."""
    async with asyncio.timeout(timeout_s):
        while True:
            if await held(balancer, service) == count:
                return
            await asyncio.sleep(POLL_S)


def knock(balancer: Balancer, service: str = "primary") -> socket.socket:
    """A client that has said who it is, as PostgreSQL's protocol begins, and waits for the answer."""
    words = b"user\0postgres\0database\0postgres\0\0"
    client = socket.create_connection(balancer.address(service), timeout=30)
    client.sendall(struct.pack(">II", len(words) + 8, PROTOCOL_3_0) + words)
    return client


async def wait_logged(balancer: Balancer, words: str, *, since: int, timeout_s: float = 5.0) -> str:
    """The first line of the log with these words, from this place of it on: a client's port comes back in time."""
    found: list[str] = []

    def is_there() -> bool:
        found.extend(line for line in logged_since(balancer, since).splitlines() if words in line)
        return bool(found)

    await until(is_there, timeout_s=timeout_s)
    return found[0]
