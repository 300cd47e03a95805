"""What HAProxy's log says of sessions: the second witness, beside the clients themselves."""

import re
from collections import Counter

from trunkline.lab.balancer import Balancer

NORMAL_END = "--"
SESSION = re.compile(r"session client=\S+ frontend=\S+ server=(\S+)/(\S+) .* end=(\S+)")


def end_of(balancer: Balancer) -> int:
    """Where the log ends now."""
    return balancer.log.stat().st_size


def logged_since(balancer: Balancer, began_at: int) -> str:
    """What was logged since then."""
    with balancer.log.open("rb") as log:
        log.seek(began_at)
        return log.read().decode(errors="replace")


def logged_sessions(balancer: Balancer, began_at: int) -> Counter[tuple[str, str, str]]:
    """The sessions that ended since then, by backend, server, and how they ended."""
    found = SESSION.finditer(logged_since(balancer, began_at))
    return Counter((session[1], session[2], session[3]) for session in found)
