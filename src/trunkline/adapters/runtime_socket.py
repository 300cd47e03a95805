"""HAProxy's admin socket and master socket: one command, one connection, one deadline.

Owns how a command goes in and a reply comes out; what replies mean is `trunkline.wire.runtime`. Commands of one socket
follow each other: HAProxy would run them side by side.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path

from trunkline.errors import RuntimeSocketError
from trunkline.model.facts import Lease, Sticky, Stuck
from trunkline.model.membership import Placed
from trunkline.model.proxy import ProxyState, ProxyView, Session
from trunkline.wire.lease import parse_lease, require_done
from trunkline.wire.runtime import (
    UnknownCommandError,
    Worker,
    parse_held,
    parse_info,
    parse_reply,
    parse_session_ids,
    parse_sessions,
    parse_stat,
    parse_stat_of_some,
    parse_workers,
    require_all_done,
    split_before_stat,
)
from trunkline.wire.server_states import parse_server_states

TIMEOUT_S = 5.0
MAX_REPLY_BYTES = 256 * 1024 * 1024
CHUNK_BYTES = 64 * 1024
SESSIONS_AT_ONCE = 200
"""A line of commands has to fit into HAProxy's buffer of 16 KiB."""

MOST_LINE_BYTES = 8 * 1024
"""So does a line of any other."""

EVERY_ROW = ("7", "-1")
"""Of `show stat ID`: frontend, backend and servers, all of them."""

PLAIN_TOKEN = re.compile(r"[^\s;\\\x00-\x1f\x7f]+")
"""What cannot end a command or a word of it (management guide, 9.3)."""


class RuntimeSocket:
    """The admin socket of the worker that serves (`haproxy.socket`)."""

    def __init__(self, path: Path | str, *, timeout_s: float = TIMEOUT_S) -> None:
        self.path = str(path)
        self._timeout_s = timeout_s
        self._one_at_a_time = asyncio.Lock()

    def __repr__(self) -> str:
        return f"RuntimeSocket({self.path!r})"

    async def command(self, *tokens: str) -> str:
        """Run one command, given word by word; what HAProxy refuses is a RuntimeSocketError in its own words."""
        reply = parse_reply(await self._run(command_line(*tokens)))
        if tokens[:1] == ("trunkline",) and tokens[1:2] in (("stick",), ("unstick",), ("close",)):
            require_done(reply)
        return reply

    async def commands(self, several: Iterable[tuple[str, ...]]) -> None:
        """Run several commands as one line, in which HAProxy lets nothing else of ours come between. The first that
        was refused is a RuntimeSocketError; those after it were run all the same."""
        require_all_done(await self._run("; ".join(command_line(*tokens) for tokens in several)))

    async def placed(self) -> tuple[Placed, ...]:
        """Where the sessions and the checks of each server go."""
        return parse_server_states(await self.command("show", "servers", "state"))

    async def proxies(self) -> tuple[ProxyState, ...]:
        """Every proxy with its servers."""
        return parse_stat(await self.command("show", "stat"))

    async def some_proxies(self, ids: Iterable[int]) -> tuple[ProxyState, ...]:
        """Those of these proxies that there are, with their servers. By number: of a frontend and a backend with the
        same name HAProxy finds the frontend alone."""
        found: list[ProxyState] = []
        for some in _in_lines(command_line("show", "stat", str(one), *EVERY_ROW) for one in sorted(ids)):
            found += parse_stat_of_some(await self._run(some))
        return tuple(found)

    async def renew(self, milliseconds: int) -> Lease:
        """Renew the lease of what sticks, for 5000 ms at most; 0 ends it, and undoes what is leased."""
        return parse_lease(await self.command("trunkline", "lease", str(milliseconds)))

    async def renew_and_look(self, milliseconds: int) -> tuple[Lease, tuple[ProxyState, ...]]:
        """Both `renew` and `proxies`, in this order, as one line: it costs half of the waiting."""
        return await self._with_stat("trunkline", "lease", str(milliseconds))

    async def lease(self) -> Lease:
        """What is leased and who waits; renews nothing."""
        return parse_lease(await self.command("trunkline", "stuck"))

    async def view(self) -> ProxyView:
        """Everything of this HAProxy at this moment."""
        info = parse_info(await self.command("show", "info"))
        try:
            lease, proxies = await self.lease_and_proxies()
        except UnknownCommandError:
            lease, proxies = Lease(pid=info.pid), await self.proxies()
        return ProxyView(
            info=info,
            proxies=proxies,
            held=await self._held(),
            closed_by_agent=_closed(lease.stuck),
            unchecked_by_agent=frozenset((it.proxy, it.server) for it in lease.stuck if it.what is Sticky.CHECKS),
            refusing=frozenset(lease.closed),
        )

    async def lease_and_proxies(self) -> tuple[Lease, tuple[ProxyState, ...]]:
        """Both `lease` and `proxies`, as one line: nothing is ours in the one and a person's in the other."""
        return await self._with_stat("trunkline", "stuck")

    async def closed_by_agent(self) -> frozenset[tuple[str, str]]:
        """(proxy, server) that an agent has drained or set to maintenance, under its lease."""
        try:
            return _closed((await self.lease()).stuck)
        except UnknownCommandError:
            return frozenset()

    async def sessions(self) -> tuple[Session, ...]:
        """Every session of this worker that has a client and a server."""
        return await _sessions(self._run)

    async def _run(self, line: str) -> str:
        async with self._one_at_a_time:
            return await exchange(self.path, f"set severity-output number; {line}", timeout_s=self._timeout_s)

    async def _with_stat(self, *tokens: str) -> tuple[Lease, tuple[ProxyState, ...]]:
        """The lease as this command tells it, and all proxies after that."""
        lines = command_line(*tokens), command_line("show", "stat")
        lease, stat = split_before_stat(await self._run("; ".join(lines)))
        return parse_lease(parse_reply(lease)), parse_stat(parse_reply(stat))

    async def _held(self) -> tuple[tuple[str, int], ...]:
        try:
            return parse_held(await self.command("trunkline", "held"))
        except UnknownCommandError:  # a configuration without our Lua holds nobody
            return ()


class MasterSocket:
    """The master's socket (`-S`), which leads to workers that a reload has left behind, too."""

    def __init__(self, path: Path | str, *, timeout_s: float = TIMEOUT_S) -> None:
        self.path = str(path)
        self._timeout_s = timeout_s
        self._one_at_a_time = asyncio.Lock()

    def __repr__(self) -> str:
        return f"MasterSocket({self.path!r})"

    async def command(self, *tokens: str) -> str:
        """Run one command of the master's own."""
        return parse_reply(await self._run(command_line(*tokens)))

    async def workers(self) -> tuple[Worker, ...]:
        """The worker that serves, and the old ones."""
        return parse_workers(await self.command("show", "proc"))

    async def sessions(self, worker: Worker) -> tuple[Session, ...]:
        """Every session of one worker that has a client and a server."""
        return await _sessions(self._run, prefix=f"@!{worker.pid} ")

    async def end_sessions(self, pid: int, proxy: str, server: str) -> None:
        """End those that one worker has at a server; who has hung up meanwhile is no refusal.

        One by one: an old worker's proxies have stopped, and of such a one `shutdown sessions server` ends nobody. It
        only says "Proxy is disabled." (2.6.12, 2.8.25), on this socket without a severity, like any other answer.
        """
        ids = parse_session_ids(parse_reply(await self._run(f"@!{pid} show sess")), (proxy, server))
        for start in range(0, len(ids), SESSIONS_AT_ONCE):
            some = ids[start : start + SESSIONS_AT_ONCE]
            require_all_done(await self._run("; ".join(f"@!{pid} shutdown session {session}" for session in some)))

    async def _run(self, line: str) -> str:
        async with self._one_at_a_time:
            return await exchange(self.path, line, timeout_s=self._timeout_s)


def _closed(stuck: Iterable[Stuck]) -> frozenset[tuple[str, str]]:
    return frozenset((it.proxy, it.server) for it in stuck if it.what is not Sticky.CHECKS)


async def _sessions(run: Callable[[str], Awaitable[str]], *, prefix: str = "") -> tuple[Session, ...]:
    """Those with a client and a server, by their ids.

    Never `show sess all`: it ends HAProxy 2.8.25 with a segmentation fault while a Lua script has a socket open, and
    the clients that ours holds wait on one.
    """
    ids = parse_session_ids(parse_reply(await run(f"{prefix}show sess")))
    sessions: list[Session] = []
    for start in range(0, len(ids), SESSIONS_AT_ONCE):
        some = ids[start : start + SESSIONS_AT_ONCE]
        details = await run("; ".join(f"{prefix}show sess {session}" for session in some))
        sessions += parse_sessions(details, datetime.now())
    return tuple(sessions)


def command_line(*tokens: str) -> str:
    """The line of a command; a token that could end it or begin another word is refused."""
    for token in tokens:
        if not PLAIN_TOKEN.fullmatch(token) or "<<" in token:
            raise RuntimeSocketError(
                f"{token!r} cannot be part of a command to HAProxy",
                hint="names of proxies and servers have letters, digits and _ . : - only",
            )
    return " ".join(tokens)


def _in_lines(commands: Iterable[str]) -> Iterator[str]:
    """As many commands on a line as HAProxy takes."""
    line = ""
    for command in commands:
        if line and len(line) + len(command) > MOST_LINE_BYTES:
            yield line
            line = ""
        line = f"{line}; {command}" if line else command
    if line:
        yield line


async def exchange(path: str, line: str, *, timeout_s: float) -> str:
    """Send one line, and read until HAProxy closes."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(f"{line}\n".encode())
                writer.write_eof()  # without it the master waits for more
                await writer.drain()
                return await _everything(reader)
            finally:
                writer.close()
    except TimeoutError:
        raise RuntimeSocketError(
            f"HAProxy gave no answer on {path} within {timeout_s:g} s",
            hint="is the process stopped or overloaded? its log and `top` say",
        ) from None
    except FileNotFoundError:
        raise RuntimeSocketError(
            f"there is no socket {path}", hint="is HAProxy running? haproxy.socket in the settings says where it is"
        ) from None
    except PermissionError:
        raise RuntimeSocketError(
            f"{path} may not be used by this user",
            hint="ask as root, or as a member of the group that haproxy.socket_group names",
        ) from None
    except ConnectionRefusedError:
        raise RuntimeSocketError(
            f"nobody answers on {path}: the HAProxy that made it has ended", hint="start HAProxy, its log says why"
        ) from None
    except OSError as error:
        raise RuntimeSocketError(
            f"{path} cannot be used: {error.strerror or error}", hint="haproxy.socket names HAProxy's admin socket"
        ) from error


async def _everything(reader: asyncio.StreamReader) -> str:
    reply = bytearray()
    while chunk := await reader.read(CHUNK_BYTES):
        reply += chunk
        if len(reply) > MAX_REPLY_BYTES:
            raise RuntimeSocketError("HAProxy's answer does not end", hint="is this really HAProxy's admin socket?")
    return reply.decode(errors="replace")
