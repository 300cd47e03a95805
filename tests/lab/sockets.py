"""What the kernel says of one end of a TCP connection (/proc/net/tcp, proc(5)): the witness that no option can fool."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = Path("/proc/net/tcp")
KEEPALIVE = 2
"""The timer of an end that has nothing to send (`timer_active` in the kernel's net/ipv4/tcp_ipv4.c)."""

Address = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """What this end waits for: its kind, and how long it still does."""

    kind: int
    left_s: float


def timer(own: Address, peer: Address) -> Timer | None:
    """The timer of the end `own` of the connection with `peer`; None where there is no such connection."""
    wanted = [_in_hexadecimal(own), _in_hexadecimal(peer)]
    for line in CONNECTIONS.read_text().splitlines()[1:]:
        words = line.split()
        if words[1:3] == wanted:
            kind, ticks = words[5].split(":")
            return Timer(kind=int(kind, 16), left_s=int(ticks, 16) / os.sysconf("SC_CLK_TCK"))
    return None


def _in_hexadecimal(address: Address) -> str:
    """The four bytes are one number of the machine's own order there."""
    host, port = address
    return f"{socket.inet_aton(host)[::-1].hex().upper()}:{port:04X}"
