"""Whether HAProxy tells of its checks, as its configuration asks it to: every change of a check's status is a report.

So a change that `show stat` has and nobody has told of is one that was not heard. Some of them in a row, and none that
was heard, is a loss: checks and questions of ours say the same a little later, and the log says that they have to.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import NoReturn

from trunkline.adapters import check_log
from trunkline.agent.trouble import Trouble
from trunkline.errors import HAProxyError
from trunkline.model.proxy import ProxyState
from trunkline.wire.check_log import CheckReport

GRACE_S = 1.0
"""A report may come so long after a look that has seen the change."""

LOOK_S = 0.25
MANY_UNHEARD = 3
"""A full socket may lose one."""

NOTHING = frozenset({"", "INI"})
"""Statuses of a server that was not checked yet: HAProxy says nothing of them."""

BIND_AGAIN_S = 5.0

Place = tuple[str, str]
"""A proxy and a server of it."""


class Hearing:
    """What was told and what was seen. Moments are of a clock that only goes forward."""

    def __init__(self, now: float) -> None:
        self._trouble = Trouble("HAProxy does not tell of its checks", "HAProxy tells of its checks again")
        self._seen: dict[Place, tuple[str, float]] = {}
        self._looked_at = now
        self._told_at: dict[Place, float] = {}
        self._pending: dict[Place, float] = {}
        self._unheard = 0
        self._complete_at = now

    def age_s(self, now: float) -> float:
        """Since when something may have been missed."""
        return now - self._complete_at

    def told(self, place: Place, now: float) -> None:
        """A report of this server has come."""
        self._told_at[place] = now
        self._pending.clear()  # whoever tells of one tells of others
        self._unheard = 0
        self._trouble.tell("")

    def looked(self, proxies: Iterable[ProxyState], now: float) -> None:
        """`show stat` says this; looks that follow each other closely are one."""
        if now - self._looked_at < LOOK_S:
            return
        several = tuple(proxies)
        looked = {proxy.name for proxy in several}
        seen = {(it.proxy, it.name): it.check_status for proxy in several for it in proxy.servers if not it.is_backup}
        before = {place: self._seen.get(place, ("", now)) for place in seen}
        changed = [place for place, status in seen.items() if _is_change(before[place][0], status)]
        unheard_since = {it: now for it in changed if self._told_at.get(it, -1.0) < before[it][1] - GRACE_S}
        self._pending = unheard_since | self._pending
        missed = [place for place, at in self._pending.items() if now - at > GRACE_S]
        for place in missed:
            del self._pending[place]
        self._unheard += len(missed)
        if self._unheard >= MANY_UNHEARD:
            self._trouble.tell("its checks have changed, and no word of it came; what they find is seen a little later")
        if self._unheard < MANY_UNHEARD and not self._pending:
            self._complete_at = now
        others = {place: it for place, it in self._seen.items() if place[0] not in looked}
        self._seen = others | {place: (status, now) for place, status in seen.items()}
        self._looked_at = now


def _is_change(before: str, after: str) -> bool:
    return before != after and not {before, after} & NOTHING


async def hear(name: str, heard: Callable[[CheckReport], None], called: Callable[[], None]) -> NoReturn:
    """Listen at a socket of our own, where nobody has bound one for us; HAProxy's configuration names it. Another
    process that has it is waited for."""
    trouble = Trouble("HAProxy's checks are not heard of", "HAProxy's checks are heard of again")
    while True:
        try:
            receiver = check_log.bind(name)
        except HAProxyError as error:
            trouble.tell(error.message)
            await asyncio.sleep(BIND_AGAIN_S)
            continue
        trouble.tell("")
        with receiver:
            await check_log.listen(receiver, heard, called)
