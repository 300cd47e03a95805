"""An admin socket without a HAProxy: answers in the bytes of 2.8, from values that a test sets.

Owns the text of `show info`, `show stat`, `show sess`, `trunkline held` and of refusals; it moves no bytes. What can
be set on its servers is `trunkline.testing.fake_lease`. Source: HAProxy's management guide, section 9, and what 2.8.25
really says.
"""

import asyncio
import csv
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Self

from trunkline.model.proxy import Health, ProxyState, ProxyView, ServerState, Session
from trunkline.testing.fake_lease import FakeLease
from trunkline.wire.runtime import MONTHS

COLUMNS = (
    "pxname", "svname", "qcur", "qmax", "scur", "smax", "slim", "stot", "econ", "status", "weight", "act", "bck",
    "lastchg", "iid", "type", "check_status", "check_code", "check_duration", "last_chk", "check_desc", "addr", "mode",
)  # fmt: skip
"""Those of the real one that anybody reads, in its order."""

UNKNOWN_COMMAND = "[6]: Unknown command: '{}', but maybe one of the following ones is a better match:\n  show info\n"


class FakeHAProxy:
    """`async with FakeHAProxy(path, view) as haproxy` answers on the socket at `path`.

    `view` and `sessions` may be replaced at any time: a new view is the next result of the checks. `replies`: raw
    answers that go first, by command. `commands`: what was asked. `knows_held`: whether its configuration has our Lua.
    """

    def __init__(
        self, path: Path | str, view: ProxyView, *, sessions: tuple[Session, ...] = (), knows_held: bool = True
    ) -> None:
        self.path = str(path)
        self._lease = FakeLease()
        self.view, self.sessions, self.knows_held = view, sessions, knows_held
        self.replies: dict[str, str] = {}
        self.commands: list[str] = []
        self._speaks = asyncio.Event()
        self._speaks.set()
        self._server: asyncio.Server | None = None
        self._asked: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"FakeHAProxy({self.path!r})"

    @property
    def view(self) -> ProxyView:
        """What its checks find, and who waits; `seen` is what it shows."""
        return self._view

    @view.setter
    def view(self, view: ProxyView) -> None:
        self._view = view
        self._lease.check_anew()

    def check_finds(self, target: str, health: Health) -> None:
        """The next result of the check of one server, "proxy/server"; those of the others stay as they are."""
        proxy, _, server = target.partition("/")
        self._view = replace(
            self._view,
            proxies=tuple(_with(it, server, health) if it.name == proxy else it for it in self._view.proxies),
        )
        self._lease.check_anew(target)

    @property
    def seen(self) -> ProxyView:
        """The view with what is set on its servers."""
        return self._lease.as_seen(self._view)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End as a killed process ends: the socket's file stays, nobody answers."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for task in self._asked:
            task.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)

    def fall_silent(self) -> None:
        """Accept and answer nothing, as a stopped process does."""
        self._speaks.clear()

    def speak(self) -> None:
        """Answer again, those who still wait first."""
        self._speaks.set()

    def reply(self, command: str) -> str:
        """What one command gets, its severity in front where it is a message and not data."""
        self.commands.append(command)
        if command in self.replies:
            return self.replies[command]
        words = command.split()
        if self.knows_held or words[:1] != ["trunkline"]:
            answer = self._lease.answer(words, self.view)
            if answer is not None:
                return answer
        match words:
            case ["set", "severity-output", "number"]:
                return ""
            case ["show", "info"]:
                return info_text(self.view)
            case ["show", "stat"]:
                return stat_text(self.seen)
            case ["show", "stat", number, _, _]:
                return self._stat_of(int(number))
            case ["show", "sess"]:
                return sessions_text(self.sessions)
            case ["show", "sess", name]:
                return "".join(session_text(one, datetime.now()) for one in self.sessions if one.session_id == name)
            case ["trunkline", "held"] if self.knows_held:
                return "".join(f"{proxy} {count}\n" for proxy, count in self.view.held)
            case ["set", "server", where, *_]:
                return self._server_refusal(where)
            case [first, *_]:
                return UNKNOWN_COMMAND.format(first)
            case _:
                return ""

    def _stat_of(self, number: int) -> str:
        """Of the proxy of this number: they are numbered as they come."""
        if not 0 < number <= len(self.view.proxies):
            return "[3]: No such proxy.\n"
        proxy = self.view.proxies[number - 1]
        return stat_text(self._lease.as_seen(replace(self.view, proxies=(proxy,))), first=number)

    def _server_refusal(self, where: str) -> str:
        name, _, server = where.partition("/")
        proxy = self.view.proxy(name)
        if proxy is None:
            return "[3]: No such backend.\n"
        return "" if proxy.server(server) else "[3]: No such server.\n"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)
        try:
            line = (await reader.readline()).decode(errors="replace").strip()
            await self._speaks.wait()
            writer.write("".join(f"{self.reply(command.strip())}\n" for command in line.split(";")).encode())
            await writer.drain()
        except ConnectionError:
            pass  # whoever asked has left
        finally:
            writer.close()


def info_text(view: ProxyView) -> str:
    """`show info`, its lines that anybody reads."""
    info = view.info
    return (
        f"Name: HAProxy\nVersion: {info.version}\nNbthread: 2\nPid: {info.pid}\nUptime_sec: {info.uptime_s}\n"
        f"Maxconn: {info.maxconn}\nnode: fake\nStopping: {int(info.is_stopping)}\nJobs: 9\n"
    )


def stat_text(view: ProxyView, *, first: int = 1) -> str:
    """`show stat`; `first`: the number of the first proxy."""
    text = StringIO()
    text.write("# ")
    table = csv.DictWriter(text, [*COLUMNS, ""], restval="", lineterminator="\n")
    table.writeheader()
    for number, proxy in enumerate(view.proxies, start=first):
        table.writerows({**row, "iid": number} for row in _rows(proxy))
    return text.getvalue()


def sessions_text(sessions: Iterable[Session]) -> str:
    """`show sess`, the one that asks last."""
    lines = [
        f"{one.session_id}: proto={'tcpv6' if one.client.startswith('[') else 'tcpv4'} src={_bare(one.client)} "
        f"fe={one.frontend} be={one.backend or '<NONE>'} srv={one.server or '<none>'} ts=00 epoch=0 age={one.age_s}s\n"
        for one in sessions
    ]
    return "".join(lines) + "0x7f0000000000: proto=unix_stream src=unix:1 fe=GLOBAL be=<NONE> srv=<none> ts=00 age=0s\n"


def session_text(session: Session, now: datetime) -> str:
    """`show sess ID`; the age is told by the time of day at which the session was accepted."""
    at = now - timedelta(seconds=session.age_s)
    towards = f"addr={_bare(session.towards_server)}" if session.towards_server else "addr=none"
    return (
        f"{session.session_id}: [{at.day:02}/{MONTHS[at.month - 1]}/{at:%Y:%H:%M:%S.%f}] id=0 proto=tcpv4 "
        f"source={_bare(session.client)}\n"
        f"  frontend={session.frontend} (id=2 mode=tcp), listener=? (id=1) addr=127.0.0.1:5000\n"
        f"  backend={session.backend or '<NONE>'} (id=3 mode=tcp) {towards}\n"
        f"  server={session.server or '<NONE>'} (id=1) addr=127.0.0.1:5432\n"
    )


def _rows(proxy: ProxyState) -> Iterator[dict[str, object]]:
    name = {"pxname": proxy.name, "mode": "tcp"}
    if proxy.frontend_status:
        yield {
            **name, "svname": "FRONTEND", "type": 0, "scur": proxy.frontend_sessions, "status": proxy.frontend_status
        }  # fmt: skip
    for server in proxy.servers:
        yield {**name, **_server(server)}
    if proxy.backend_status:
        yield {
            **name, "svname": "BACKEND", "type": 1, "scur": proxy.sessions, "qcur": proxy.queued,
            "status": proxy.backend_status,
        }  # fmt: skip


def _server(server: ServerState) -> dict[str, object]:
    return {
        "svname": server.name,
        "type": 2,
        "scur": server.sessions,
        "qcur": server.queued,
        "slim": "" if server.sessions_limit is None else server.sessions_limit,
        "stot": server.total,
        "econ": server.failed_connects,
        "status": server.health,
        "act": int(not server.is_backup),
        "bck": int(server.is_backup),
        "lastchg": server.last_change_s,
        "check_status": server.check_status,
        "check_code": "" if server.check_code is None else server.check_code,
        "check_duration": "" if server.check_duration_ms is None else server.check_duration_ms,
        "check_desc": server.check_description,
        "addr": server.address,
    }


def _with(proxy: ProxyState, server: str, health: Health) -> ProxyState:
    servers = tuple(replace(it, health=health) if it.name == server else it for it in proxy.servers)
    return replace(proxy, servers=servers)


def _bare(address: str) -> str:
    """HAProxy writes IPv6 without them in the list of sessions."""
    return address.replace("[", "").replace("]", "")
