"""Where HAProxy tells of failed checks: a datagram for each, to an abstract socket of this host.

The socket is bound before HAProxy starts, so that it never complains, and passed on to the agent, so that nothing is
lost while one agent follows another. A full socket loses reports; checks and polls say the same a little later.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from trunkline.errors import HAProxyError
from trunkline.wire.check_log import CheckReport, parse_report

ADDRESS_BYTES = 107
"""HAProxy sends to the whole of the address, padded with zeros."""

MOST_BYTES = 4096


def bind(name: str) -> socket.socket:
    """A socket of that name. Raises HAProxyError where another process has it."""
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        receiver.bind(b"\0" + name.encode().ljust(ADDRESS_BYTES, b"\0"))
    except OSError as error:
        receiver.close()
        raise HAProxyError(
            f"the abstract socket {name} is taken: {error.strerror or error}",
            hint="another process listens to the checks of this HAProxy; is there another trunkline run or agent?",
        ) from None
    return receiver


async def listen(receiver: socket.socket, heard: Callable[[CheckReport], None]) -> NoReturn:
    """Pass on every report from now on, until cancelled; what has waited is old."""
    loop = asyncio.get_running_loop()
    with suppress(BlockingIOError):
        while True:
            receiver.recv(MOST_BYTES)
    while True:
        line = await loop.sock_recv(receiver, MOST_BYTES)
        report = parse_report(line.decode(errors="replace"))
        if report is not None:
            heard(report)
