"""What our Lua inside HAProxy says of leases, as values. The commands are in `render/templates/lease.lua`."""

import re

from trunkline.errors import RuntimeSocketError
from trunkline.model.facts import Lease, Sticky, Stuck

LINE = re.compile(r"(pid|stopping|held|stuck|closed|refused:) ?(.*)")


def parse_lease(text: str) -> Lease:
    """The answer to `trunkline lease` and `trunkline stuck`; a refusal is raised, and so is what cannot be read."""
    pids: list[int] = []
    lists: dict[str, list[tuple[str, ...]]] = {"held": [], "stuck": [], "closed": [], "stopping": []}
    for line in filter(None, map(str.strip, text.splitlines())):
        found = LINE.fullmatch(line)
        if found is None:
            raise _unusable()
        kind, words = found[1], tuple(found[2].split())
        if kind == "refused:":
            raise RuntimeSocketError(f"HAProxy refused: {found[2]}")
        if kind == "pid":
            pids.append(_number(*words))
        elif words:
            lists[kind].append(words)
    if len(pids) != 1:
        raise _unusable()
    return Lease(
        pid=pids[0],
        is_stopping=("1",) in lists["stopping"],
        stuck=tuple(
            sorted((_stuck(*words) for words in lists["stuck"]), key=lambda it: (it.proxy, it.server, it.what))
        ),
        held=tuple(sorted((words[0], _number(*words[1:2])) for words in lists["held"])),
        waited_ms=tuple(sorted((words[0], _number(*words[2:])) for words in lists["held"])),
        closed=tuple(sorted(words[0] for words in lists["closed"])),
    )


def require_done(text: str) -> None:
    """The answer to `trunkline stick` and `unstick`: nothing, or why not, which is raised."""
    found = re.match(r"refused: (.*)", text.strip())
    if found:
        raise RuntimeSocketError(f"HAProxy refused: {found[1]}")


def _stuck(*words: str) -> Stuck:
    if len(words) != 3 or words[2] not in Sticky.__members__.values():
        raise _unusable()
    return Stuck(proxy=words[0], server=words[1], what=Sticky(words[2]))


def _number(*words: str) -> int:
    if len(words) != 1 or not re.fullmatch(r"[0-9]{1,12}", words[0]):
        raise _unusable()
    return int(words[0])


def _unusable() -> RuntimeSocketError:
    return RuntimeSocketError(
        "the answer to `trunkline lease` cannot be understood", hint="is HAProxy's Lua file of this version of ours?"
    )
