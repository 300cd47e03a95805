"""What HAProxy's log says of sessions: the second witness, beside the clients themselves."""

import re
from collections import Counter

from trunkline.lab.balancer import Balancer

NORMAL_END = "--"
SESSION = re.compile(r"session client=\S+ frontend=\S+ server=(\S+)/(\S+) .* end=(\S+)")


def end_of(balancer: Balancer) -> int:
    """Where the log ends now."""
    return balancer.log.stat().st_size


def logged_sessions(balancer: Balancer, began_at: int) -> Counter[tuple[str, str, str]]:
    """The sessions that ended since then, by backend, server, and how they ended."""
    with balancer.log.open("rb") as log:
        log.seek(began_at)
        text = log.read().decode(errors="replace")
    return Counter((found[1], found[2], found[3]) for found in SESSION.finditer(text))
