"""Where HAProxy tells of failed checks: a datagram for each, to an abstract socket of this host.

The socket is bound before HAProxy starts, so that it never complains, and passed on to the agent, so that nothing is
lost while one agent follows another. A full socket loses reports; checks and polls say the same a little later.
Commands of ours call the agent through it, too: what they have to say is on disk, and looked at in every cycle.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from trunkline.adapters import abstract_socket
from trunkline.wire.check_log import CheckReport, parse_report

MOST_BYTES = 4096
CALL = b"trunkline: look"
"""Not of HAProxy's words."""


def bind(name: str) -> socket.socket:
    """A socket of that name. Raises HAProxyError where another process has it."""
    hint = "another process listens to the checks of this HAProxy; is there another trunkline run or agent?"
    return abstract_socket.bind(name, socket.SOCK_DGRAM, taken_hint=hint)


def call(name: str) -> bool:
    """Have the agent look at once; whether there is anybody with such a socket."""
    with abstract_socket.unnamed(socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(CALL, abstract_socket.address(name))
        except BlockingIOError:
            return True  # it has a lot to read, and looks anyhow
        except OSError:
            return False
    return True


async def listen(receiver: socket.socket, heard: Callable[[CheckReport], None], called: Callable[[], None]) -> NoReturn:
    """Pass on every report and every call from now on, until cancelled; what has waited is old."""
    loop = asyncio.get_running_loop()
    with suppress(BlockingIOError):
        while True:
            receiver.recv(MOST_BYTES)
    while True:
        line = await loop.sock_recv(receiver, MOST_BYTES)
        if line == CALL:
            called()
            continue
        report = parse_report(line.decode(errors="replace"))
        if report is not None:
            heard(report)
