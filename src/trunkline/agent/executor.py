"""Performs plans: command by command, each service on its own, until one is refused by the worker that serves and what
follows may hang on it.

What was refused is not tried again here: the next cycle plans it anew from what HAProxy then says. (What cannot be done
gently is done at once.)
"""

import time
from collections.abc import Iterable
from dataclasses import replace

from trunkline.adapters.runtime_socket import MasterSocket, RuntimeSocket
from trunkline.errors import RuntimeSocketError
from trunkline.model.command import Command, EndSessions, SetHealth, Stick, words
from trunkline.model.receipt import Deed


class Executor:
    """`master`: None where there is no master socket, and so no way to old workers."""

    def __init__(self, runtime: RuntimeSocket, master: MasterSocket | None) -> None:
        self._runtime = runtime
        self._master = master

    async def perform(self, commands: Iterable[Command]) -> tuple[Deed, ...]:
        """What was done or refused, in its order, up to what the worker that serves has refused."""
        deeds: list[Deed] = []
        for command in commands:
            refusal = await self._perform(command)
            if refusal and isinstance(command, SetHealth) and command.is_gentle:
                command = replace(command, is_gentle=False)
                refusal = await self._perform(command)
            deeds.append(Deed(at_s=time.time(), command=words(command), reason=command.reason, refusal=refusal))
            if refusal and not _may_be_refused(command):
                break
        return tuple(deeds)

    async def _perform(self, command: Command) -> str:
        try:
            if isinstance(command, EndSessions) and command.worker_pid is not None:
                if self._master is None:
                    return "there is no master socket"
                await self._master.end_sessions(command.worker_pid, command.proxy, command.server)
            else:
                await self._runtime.command(*words(command).split(" "))
        except RuntimeSocketError as error:
            return error.message
        return ""


def _may_be_refused(command: Command) -> bool:
    """Nothing that follows hangs on it."""
    return _is_elsewhere(command) or (isinstance(command, Stick) and command.is_precaution)


def _is_elsewhere(command: Command) -> bool:
    """It is for a worker that a reload has left behind: that one may be gone already."""
    return isinstance(command, EndSessions) and command.worker_pid is not None
