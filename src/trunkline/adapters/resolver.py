"""Host names to address literals, through the system's own resolver.

That call cannot be interrupted: it runs in a thread of its own, which nobody waits for beyond the deadline, not even
the interpreter at its end. A name that leads nowhere is a value, since the last good address may still serve.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What a name leads to: addresses in the resolver's order, IPv4 first (PostgreSQL listens there, mostly), or why
    there are none."""

    host: str
    addresses: tuple[str, ...] = ()
    problem: str = ""


async def resolve(host: str, *, timeout_s: float) -> Resolution:
    """The addresses of a host; an address literal leads to itself."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Resolution] = loop.create_future()

    def hand_over(resolution: Resolution) -> None:
        if not answer.done():
            answer.set_result(resolution)

    def deliver(resolution: Resolution) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(hand_over, resolution)

    Thread(target=_look_up, args=(host, deliver), name=f"resolve {host}", daemon=True).start()
    try:
        async with asyncio.timeout(timeout_s):  # wait_for would lose a cancellation that comes with the answer
            return await answer
    except TimeoutError:
        return Resolution(host=host, problem=f"the resolver gave no answer within {timeout_s:g} s")


def _look_up(host: str, deliver: Callable[[Resolution], None]) -> None:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        resolution = Resolution(host=host, problem=error.strerror or "no such name")
    except (OSError, UnicodeError) as error:
        resolution = Resolution(host=host, problem=str(error))
    else:
        addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
        resolution = Resolution(host=host, addresses=tuple(sorted(addresses, key=_is_ipv6)))
    deliver(resolution)


def _is_ipv6(address: str) -> bool:
    return ":" in address
