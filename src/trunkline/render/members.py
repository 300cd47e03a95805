"""Members that come, go or move, in the words of HAProxy's Runtime API; and which members a configuration of ours has.

Owns the order of commands in which nobody is sent to a server that was not asked: a server that is added rests, and one
that leaves rest counts as up. It leaves into a drain, and from there when it is down. All commands of a change are one
line, which HAProxy runs to its end whatever becomes of us (management guide, 9.3).
"""

import re

from trunkline.model.membership import Change, Join, Leave, Move, Remove, Rest, Return
from trunkline.render.haproxy import check_options, session_options

Words = tuple[str, ...]
SERVER = re.compile(r"    server (\S+) (?!abns@)")
BACKEND = re.compile(r"backend (\S+)")
COUNTED = re.compile(r"    # .*\n    maxconn \d+\n")
"""How many sessions fit, and why: that hangs on the number of members, and on nothing that a member needs."""


def commands(change: Change) -> tuple[Words, ...]:
    """The commands of one change, each as its words."""
    match change:
        case Join(service=service, server=server):
            target, api = f"{service.proxy}/{server.name}", server.api
            options = f"{check_options(service)} {session_options(service)}".split()
            place = ("addr", api.address, "port", str(api.port))
            return (
                ("add", "server", target, str(server.postgres), *place, *options),
                ("enable", "health", target),
                *_unjudged(target),
                ("trunkline", "added", target, str(server.postgres)),
            )
        case Move(service=service, server=server, is_resting=is_resting):
            target = f"{service.proxy}/{server.name}"
            postgres, api = server.postgres, server.api
            return (
                *(() if is_resting else (("set", "server", target, "state", "maint"),)),
                ("enable", "health", target),  # with checks suspended, their address would stay as it is
                ("set", "server", target, "addr", postgres.address, "port", str(postgres.port)),
                ("set", "server", target, "check-addr", api.address, "port", str(api.port)),
                ("trunkline", "added", target, str(postgres)),
            )
        case Return(service=service, server=server, is_judged=is_judged):
            target = f"{service.proxy}/{server.name}"
            ready = (("set", "server", target, "state", "ready"),) if is_judged else _unjudged(target)
            return (*ready, ("trunkline", "added", target, str(server.postgres)))
        case Leave(proxy=proxy, server=name):
            target = f"{proxy}/{name}"
            return (("set", "server", target, "state", "drain"), ("trunkline", "removed", target))
        case Rest(proxy=proxy, server=name):
            return (("set", "server", f"{proxy}/{name}", "state", "maint"),)
        case Remove(proxy=proxy, server=name):
            return (("del", "server", f"{proxy}/{name}"),)


def _unjudged(target: str) -> tuple[Words, ...]:
    states = (("state", "drain"), ("health", "down"), ("state", "ready"))
    return tuple(("set", "server", target, *words) for words in states)


def members_in(text: str) -> frozenset[tuple[str, str]]:
    """(proxy, server) of every member in a configuration of ours."""
    found: set[tuple[str, str]] = set()
    proxy = ""
    for line in text.splitlines():
        if backend := BACKEND.match(line):
            proxy = backend[1]
        elif server := SERVER.match(line):
            found.add((proxy, server[1]))
    return frozenset(found)


def without_members(text: str) -> str:
    """A configuration of ours without its members: the same for two that differ in nothing else."""
    bones = "".join(line for line in text.splitlines(keepends=True) if not SERVER.match(line))
    return COUNTED.sub("", bones, count=1)
