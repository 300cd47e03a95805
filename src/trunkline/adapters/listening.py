"""Whether HAProxy could listen where it is told to, asked before anything is touched.

HAProxy shares its ports (SO_REUSEPORT): a second one of the same user would start without a word and take half of the
connections. So this asks without sharing, and names whoever is there.
"""

import errno
import socket
from collections.abc import Container, Iterable

from trunkline.adapters.process_table import listeners, names
from trunkline.errors import HAProxyError
from trunkline.model.desired import Endpoint


def require_free(endpoints: Iterable[Endpoint], *, ours: Container[int] = ()) -> None:
    """Refuse where somebody else listens; `ours` are processes that may. Raises HAProxyError with every obstacle."""
    problems = [problem for endpoint in endpoints if (problem := obstacle(endpoint, ours=ours))]
    if problems:
        raise HAProxyError(
            "\n".join(problems),
            hint="stop who listens there, or give this balancer other ports (`services` and `stats` in the settings)"
            if any("is taken" in problem for problem in problems)
            else "correct `bind` in the settings; for an address that comes later, such as a floating one: "
            "sysctl net.ipv4.ip_nonlocal_bind=1",
        )


def obstacle(endpoint: Endpoint, *, ours: Container[int] = ()) -> str:
    """Why HAProxy could not listen there; empty when it could."""
    try:
        _try(endpoint)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return f"cannot listen on {endpoint}: {error.strerror or error}"
    else:
        return ""
    holders = listeners(endpoint)
    if holders and all(pid in ours for pid in holders):
        return ""
    others = [pid for pid in holders if pid not in ours]
    return f"port {endpoint.port} is taken: {names(others) or 'a process of another user'} listens on {endpoint}"


def _try(endpoint: Endpoint) -> None:
    address = "" if endpoint.address == "*" else endpoint.address
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # what only waits in TIME_WAIT is no obstacle, as it is none to servers
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address != "::"))
        # A listener of others makes this fail. To listen would be a step too far: clients that try meanwhile would be
        # accepted, and hung up on.
        probe.bind((address, endpoint.port))
