"""How an agent tells the supervisor of members that it may not know: a datagram for each, over a pair of sockets.

The one that is told asks Patroni who is right; a report that is lost costs some seconds.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

MOST_BYTES = 4096


def pair() -> tuple[socket.socket, socket.socket]:
    """Who listens, and who tells."""
    listener, teller = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.setblocking(False)
    teller.setblocking(False)
    return listener, teller


def tell(teller: socket.socket, scope: str) -> None:
    """Somebody streams in this cluster who is no member of it that is known."""
    with suppress(OSError):  # nobody listens, or has as much to read as there is room for
        teller.send(scope.encode("utf-8", "surrogatepass"))  # see `wire.names`


async def listen(listener: socket.socket, met: Callable[[str], None]) -> NoReturn:
    """Pass on every scope, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        met((await loop.sock_recv(listener, MOST_BYTES)).decode("utf-8", "surrogatepass"))
