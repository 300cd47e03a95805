"""What our Lua inside HAProxy says of leases, as values. The commands are in `render/templates/lease.lua`.

An answer that is cut short or is none of ours is a `RuntimeSocketError`, never another exception.
"""

from trunkline.errors import RuntimeSocketError
from trunkline.model.facts import Lease, Sticky, Stuck

DONE = "done"
REFUSED = "refused:"
MOST_DIGITS = 12


def parse_lease(text: str) -> Lease:
    """The answer to `trunkline lease` and `trunkline stuck`; a refusal is raised."""
    _raise_refusal(text)
    pids: list[int] = []
    stopping: list[bool] = []
    stuck: list[Stuck] = []
    held: list[tuple[str, int, int]] = []
    released: list[tuple[str, int, int]] = []
    closed: list[str] = []
    for line in text.splitlines():
        match line.split():
            case ["held", proxy, count, waited_ms]:
                held.append((proxy, _number(count), _number(waited_ms)))
            case ["released", proxy, count, waited_ms]:
                released.append((proxy, _number(count), _number(waited_ms)))
            case ["stuck", proxy, server, word]:
                stuck.append(Stuck(proxy=proxy, server=server, what=_sticky(word)))
            case ["closed", proxy]:
                closed.append(proxy)
            case ["pid", pid]:
                pids.append(_number(pid))
            case ["stopping", "0" | "1" as word]:
                stopping.append(word == "1")
            case []:
                pass
            case _:
                raise _unusable()
    if len(pids) != 1 or len(stopping) != 1:
        raise _unusable()
    held.sort()
    return Lease(
        pid=pids[0],
        is_stopping=stopping[0],
        stuck=tuple(sorted(stuck, key=lambda it: (it.proxy, it.server, it.what))),
        held=tuple((proxy, count) for proxy, count, _ in held),
        waited_ms=tuple((proxy, waited_ms) for proxy, _, waited_ms in held),
        released=tuple(sorted(released)),
        closed=tuple(sorted(closed)),
    )


def require_done(text: str) -> None:
    """The answer to `trunkline stick` and `trunkline unstick`; all but "done" is raised."""
    _raise_refusal(text)
    if text.strip() != DONE:
        raise _unusable()


def _raise_refusal(text: str) -> None:
    told = text.strip()
    if told.startswith(REFUSED):
        why = told.removeprefix(REFUSED).strip().splitlines()
        raise RuntimeSocketError(f"HAProxy refused: {why[0] if why else 'without a word'}")


def _sticky(word: str) -> Sticky:
    try:
        return Sticky(word)
    except ValueError:
        raise _unusable() from None


def _number(word: str) -> int:
    if not (word.isascii() and word.isdecimal() and len(word) <= MOST_DIGITS):
        raise _unusable()
    return int(word)


def _unusable() -> RuntimeSocketError:
    return RuntimeSocketError(
        "what HAProxy says of the lease cannot be understood", hint="is its Lua file the one of this Trunkline?"
    )
