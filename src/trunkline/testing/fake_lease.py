"""What can be set on the servers of a fake HAProxy, by hand and under a lease: as `render/templates/lease.lua` has it.

Owns the commands `set server`, `disable|enable health` and `trunkline lease|stuck|stick|unstick|close`, and how what
they set shows. There are no checks: what a test gives as the view is what they find, a new view is their next result.
"""

import time
from dataclasses import replace

from trunkline.model.facts import Sticky
from trunkline.model.proxy import Health, ProxyState, ProxyView, ServerState

MOST_MS = 5000
USAGE = "PROXY/SERVER checks|drain|maint"
STATES = {"ready": None, "drain": Sticky.DRAIN, "maint": Sticky.MAINT}


class FakeLease:
    """`answer(words, view)` is what such a command gets; `as_seen(view)` what is to be shown."""

    def __init__(self) -> None:
        self._states: dict[str, Sticky] = {}
        self._suspended: set[str] = set()
        self._pushed: dict[str, Health] = {}
        self._notes: dict[tuple[str, Sticky], None] = {}
        self._ends_at = 0.0

    def check_anew(self, only: str | None = None) -> None:
        """The checks that run have a new result, which overrides what was pushed; `only`: that of this server."""
        self._pushed = {
            target: it for target, it in self._pushed.items() if target in self._suspended or only not in (None, target)
        }

    def as_seen(self, view: ProxyView) -> ProxyView:
        """The view with what is set on its servers."""
        self._look()
        return replace(view, proxies=tuple(replace(it, servers=self._servers(it)) for it in view.proxies))

    def answer(self, words: list[str], view: ProxyView) -> str | None:
        """None for commands that are no matter of this one."""
        self._look()
        match words:
            case ["trunkline", "lease", *rest]:
                return self._renew(rest, view)
            case ["trunkline", "stuck"]:
                return self._report(view)
            case ["trunkline", "stick", *rest]:
                return self._stick(rest, view)
            case ["trunkline", "unstick", *rest]:
                return self._unstick(rest)
            case ["trunkline", "close", target]:
                return self._close(target, view)
            case ["set", "server", target, "state", state] if state in STATES:
                return _missing(target, view) or self._set_state(target, STATES[state])
            case ["set", "server", target, "health", "up" | "down" as word]:
                return _missing(target, view) or self._push(target, Health(word.upper()))
            case ["disable" | "enable" as word, "health", target]:
                return _missing(target, view) or self._set_checks(target, word == "enable")
            case _:
                return None

    def _renew(self, rest: list[str], view: ProxyView) -> str:
        match rest:
            case [text] if text.isascii() and text.isdecimal() and len(text) <= 4 and int(text) <= MOST_MS:
                self._ends_at = time.monotonic() + int(text) / 1000
                self._look()
                return self._report(view)
        return _refusal(f"it is `trunkline lease MS`, from 0 to {MOST_MS} ms")

    def _report(self, view: ProxyView) -> str:
        stuck = (f"stuck {target.replace('/', ' ')} {what}" for target, what in self._notes)
        held = (f"held {proxy} {count} 100" for proxy, count in view.held if count)
        lines = [*sorted([*stuck, *held]), f"pid {view.info.pid}", f"stopping {int(view.info.is_stopping)}"]
        return "\n".join(lines) + "\n"

    def _stick(self, rest: list[str], view: ProxyView) -> str:
        match rest:
            case [target, word] if target.count("/") == 1 and word in list(Sticky):
                what = Sticky(word)
            case _:
                return _refusal(f"it is `trunkline stick {USAGE}`")
        server = _find(target, view)
        if server is None:
            return _refusal(f"there is no server {target}")
        if time.monotonic() >= self._ends_at:
            return _refusal("there is no lease")
        if (target, what) in self._notes:
            return "done\n"
        if why := self._objection(target, server, what):
            return _refusal(why)
        self._set(target, what)
        return "done\n"

    def _unstick(self, rest: list[str]) -> str:
        match rest:
            case [target, word] if word in list(Sticky):
                what = Sticky(word)
            case _:
                return _refusal(f"it is `trunkline unstick {USAGE}`")
        if (target, what) not in self._notes:
            return _refusal(f"{target} has no lease of {what}")
        self._undo(target, what)
        return "done\n"

    def _close(self, target: str, view: ProxyView) -> str:
        """At once what HAProxy has done a moment later."""
        if _find(target, view) is None:
            return _refusal(f"there is no server {target}")
        if self._states.get(target) is not None:
            return _refusal(f"{target} is closed already")
        self._push(target, Health.DOWN)
        return "done\n"

    def _objection(self, target: str, server: ServerState, what: Sticky) -> str:
        if server.is_backup:
            return f"{target} is no member"
        state = self._states.get(target)
        if state is not None and (target, state) not in self._notes:
            return f"{target} was set to {state} by hand"
        if what is Sticky.CHECKS and target in self._suspended:
            return f"the checks of {target} were suspended by hand, or it has none"
        return ""

    def _set(self, target: str, what: Sticky) -> None:
        if what is Sticky.CHECKS:
            self._suspended.add(target)
        else:
            if (target, Sticky.MAINT) in self._notes:
                self._undo(target, Sticky.MAINT)
            self._set_state(target, what)
            self._review()
        self._notes[target, what] = None

    def _undo(self, target: str, what: Sticky) -> None:
        del self._notes[target, what]
        if what is Sticky.CHECKS:
            self._suspended.discard(target)
        else:
            self._set_state(target, None)
            if what is Sticky.MAINT:
                self._pushed[target] = Health.DOWN

    def _set_state(self, target: str, state: Sticky | None) -> str:
        if self._states.get(target) is Sticky.MAINT and state is not Sticky.MAINT:
            self._pushed[target] = Health.UP
        self._states.pop(target, None)
        if state is not None:
            self._states[target] = state
        return "\n"

    def _push(self, target: str, health: Health) -> str:
        self._pushed[target] = health
        return "\n"

    def _set_checks(self, target: str, is_on: bool) -> str:
        if is_on:
            self._suspended.discard(target)
        else:
            self._suspended.add(target)
        return "\n"

    def _look(self) -> None:
        """What the task inside HAProxy does ten times a second."""
        self._review()
        if time.monotonic() >= self._ends_at:
            for target, what in list(self._notes):
                self._undo(target, what)

    def _review(self) -> None:
        self._notes = {note: None for note in self._notes if self._is_set(*note)}

    def _is_set(self, target: str, what: Sticky) -> bool:
        return target in self._suspended if what is Sticky.CHECKS else self._states.get(target) is what

    def _servers(self, proxy: ProxyState) -> tuple[ServerState, ...]:
        return tuple(self._server(f"{proxy.name}/{server.name}", server) for server in proxy.servers)

    def _server(self, target: str, server: ServerState) -> ServerState:
        state, has_checks = self._states.get(target), target not in self._suspended
        health = self._pushed.get(target, server.health)
        if state is Sticky.MAINT:
            return replace(server, health=Health.MAINT, check_status="")
        if health is Health.UP and state is Sticky.DRAIN:
            health = Health.DRAIN
        elif health is Health.UP and not has_checks:
            health = Health.NO_CHECK
        return replace(server, health=health, check_status=server.check_status if has_checks else "")


def _find(target: str, view: ProxyView) -> ServerState | None:
    name, _, server = target.partition("/")
    proxy = view.proxy(name)
    return proxy.server(server) if proxy else None


def _missing(target: str, view: ProxyView) -> str:
    if view.proxy(target.partition("/")[0]) is None:
        return "[3]: No such backend.\n"
    return "" if _find(target, view) else "[3]: No such server.\n"


def _refusal(why: str) -> str:
    return f"refused: {why}\n"
