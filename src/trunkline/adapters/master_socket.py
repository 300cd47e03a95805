"""A reload through HAProxy's master socket, and whether it worked.

HAProxy says so itself from 2.7 on; before, the master's line of `show proc` counts reloads and failures. Either way the
old worker serves on when a reload fails. The socket itself is `runtime_socket`.
"""

import asyncio
import re
import time
from dataclasses import dataclass

from trunkline.adapters.runtime_socket import MasterSocket
from trunkline.errors import HAProxyError, RuntimeSocketError

TIMEOUT_S = 30.0
POLL_S = 0.02
ANSWER_S = 1.0
"""A connection that meets the master while it executes itself anew may never be answered (2.6): the next one is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloads:
    """How often the master has loaded a configuration since it started, and how many of the last ones failed."""

    count: int
    failed: int


async def reload(socket: MasterSocket, *, timeout_s: float = TIMEOUT_S) -> None:
    """Make HAProxy load its configuration again; back when the new worker serves. Raises HAProxyError."""
    before = await reloads(socket)
    words = await _ask(socket)
    await require_reloaded(socket, before, words=words, timeout_s=timeout_s)


async def reloads(socket: MasterSocket) -> Reloads:
    """How often it has been reloaded by now."""
    return parse_reloads(await socket.command("show", "proc"))


async def require_reloaded(
    socket: MasterSocket, before: Reloads, *, words: str = "", timeout_s: float = TIMEOUT_S
) -> None:
    """Back when a reload that was asked for after `before` has worked. Raises HAProxyError; `words` are HAProxy's."""
    deadline = time.monotonic() + timeout_s
    while (verdict := await _verdict(socket, before)) is None:
        if time.monotonic() > deadline:
            raise HAProxyError(
                f"HAProxy has not reloaded within {timeout_s:g} s", hint="its log says what it is waiting for"
            )
        await asyncio.sleep(POLL_S)
    if not verdict:
        raise HAProxyError(
            f"HAProxy could not reload:\n{alerts(words) or 'its log says why'}", hint="it runs on as it was"
        )


def parse_reloads(told: str) -> Reloads:
    """The master's line of `show proc`: `1234  master  2 [failed: 1]  ...`."""
    match = re.search(r"^\d+\s+master\s+(\d+)(?:\s+\[failed: (\d+)\])?", told, re.MULTILINE)
    if match is None:
        raise RuntimeSocketError("the answer to `show proc` cannot be understood", hint="is this HAProxy's master?")
    return Reloads(count=int(match[1]), failed=int(match[2] or 0))


def alerts(words: str) -> str:
    """What matters of what HAProxy says while it loads."""
    return "\n".join(line for line in words.splitlines() if line.startswith("[ALERT]"))


async def _ask(socket: MasterSocket) -> str:
    try:
        return await socket.command("reload")
    except RuntimeSocketError:
        # The master executes itself anew, and 2.6 may cut the connection; the counter tells what became of it.
        return ""


async def _verdict(socket: MasterSocket, before: Reloads) -> bool | None:
    try:
        async with asyncio.timeout(ANSWER_S):
            now = await reloads(socket)
    except (RuntimeSocketError, TimeoutError):
        return None
    return now.failed == 0 if now.count > before.count else None
