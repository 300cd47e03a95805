"""The HAProxy that `trunkline run` keeps: started, taken over, reloaded, watched, stopped.

Owns the process and nothing of its configuration. It is started in a session of its own, so that neither a terminal's
Ctrl-C nor our own death reaches it; whoever comes after us finds it by its command line (`process_table`) and watches
it through a pidfd, which needs no parenthood. What it says goes where we say things.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from trunkline.adapters.haproxy_binary import HAProxyBinary, environment
from trunkline.adapters.master_socket import reload
from trunkline.adapters.process_table import command_line, family, is_of
from trunkline.adapters.runtime_socket import MasterSocket, RuntimeSocket
from trunkline.errors import HAProxyError, RuntimeSocketError
from trunkline.model.desired import Paths

START_TIMEOUT_S = 15.0
AT_ONCE_S = 2.0
"""How long HAProxy may take to end when told to do so at once; SIGKILL comes then."""

POLL_S = 0.02
ASK_TIMEOUT_S = 2.0


class HAProxyProcess:
    """One HAProxy in master-worker mode; made by `start` or `take_over`."""

    def __init__(self, paths: Paths, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        self.paths = paths
        self.pid = pid
        self._child = child
        self._pidfd = os.pidfd_open(pid)
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._pidfd, self._notice_end)

    def __repr__(self) -> str:
        return f"HAProxyProcess(pid={self.pid}, {'ended' if self.has_ended else 'runs'}, {self.paths.config})"

    @property
    def has_ended(self) -> bool:
        """Whether the master is gone; its workers go with it."""
        return self._ended.is_set()

    @property
    def ending(self) -> str:
        """How it ended, in words; what became of one that was not our child nobody can know."""
        code = self._child.poll() if self._child is not None else None
        if code is None:
            return "ended"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"

    async def wait_ended(self) -> None:
        """Back when the master has ended."""
        await self._ended.wait()

    async def reload(self) -> None:
        """Have the configuration loaded again. The old worker serves on where that fails: HAProxyError."""
        await reload(MasterSocket(str(self.paths.master_socket)))

    async def stop(self, *, drain_timeout_s: float, at_once: asyncio.Event) -> None:
        """Listen no more, let sessions end, for so long or until `at_once`; then by force. Nothing of it is left."""
        if drain_timeout_s > 0 and not at_once.is_set():
            self._send(signal.SIGUSR1)
            await _first((self._ended.wait(), at_once.wait()), timeout_s=drain_timeout_s)
        if not self.has_ended:
            self._send(signal.SIGTERM)
            await _first((self._ended.wait(),), timeout_s=AT_ONCE_S)
        self._send(signal.SIGKILL)
        await end_leftovers(self.paths)
        self.release()

    def release(self) -> None:
        """Watch it no more; it runs on if it runs."""
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _notice_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        self._ended.set()
        if self._child is not None:
            self._child.poll()  # no zombie stays

    def _send(self, number: signal.Signals) -> None:
        if not self.has_ended and self._pidfd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)


async def start(binary: HAProxyBinary, paths: Paths) -> HAProxyProcess:
    """Start HAProxy; back when it listens. Raises HAProxyError where it does not."""
    await end_leftovers(paths)
    for path in (paths.admin_socket, paths.master_socket, paths.pid):
        Path(str(path)).unlink(missing_ok=True)
    process = _spawn(binary, paths)
    if await _is_listening(process):
        return process
    if process.has_ended:
        process.release()
        raise HAProxyError(f"HAProxy {process.ending} at once", hint="its own words are above")
    await process.stop(drain_timeout_s=0, at_once=asyncio.Event())
    raise HAProxyError(
        f"HAProxy did not answer on {paths.admin_socket} within {START_TIMEOUT_S:g} s", hint="its own words are above"
    )


async def take_over(paths: Paths) -> HAProxyProcess | None:
    """The HAProxy that somebody before us started with these paths, if it still runs and answers."""
    master = family(paths).master
    if master is None:
        return None
    try:
        process = HAProxyProcess(paths, master)
    except ProcessLookupError:
        return None
    # Looked at once more: the pidfd now stands for this process, whatever its number was before.
    if not is_of(command_line(master), paths):
        process.release()
        return None
    if await _is_listening(process):
        return process
    await process.stop(drain_timeout_s=0, at_once=asyncio.Event())
    return None


async def end_leftovers(paths: Paths) -> None:
    """End workers whose master was killed: they hold sockets that the next HAProxy needs."""
    await _until_gone(paths, timeout_s=ASK_TIMEOUT_S if family(paths).pids else 0)
    for pid in family(paths).pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    if not await _until_gone(paths, timeout_s=AT_ONCE_S):
        pids = ", ".join(map(str, family(paths).pids))
        raise HAProxyError(f"HAProxy does not end (pid {pids})", hint="is it stuck in the kernel? `ps` shows its state")


def _spawn(binary: HAProxyBinary, paths: Paths) -> HAProxyProcess:
    command = [str(binary.path), "-W", "-S", str(paths.master_socket), "-p", str(paths.pid), "-f", paths.config]
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, start_new_session=True, umask=0o077, env=environment(binary.path)
        )
    except OSError as error:
        raise HAProxyError(f"{binary.path} cannot be started: {error.strerror or error}") from None
    return HAProxyProcess(paths, child.pid, child)


async def _is_listening(process: HAProxyProcess) -> bool:
    """Whether a worker answers in time; HAProxy opens its ports before it answers."""
    socket = RuntimeSocket(process.paths.admin_socket, timeout_s=ASK_TIMEOUT_S)

    async def ask() -> bool:
        try:
            await socket.command("show", "info")
        except RuntimeSocketError:
            return False
        return True

    deadline = time.monotonic() + START_TIMEOUT_S
    while not process.has_ended and time.monotonic() < deadline:
        if await ask():
            return True
        await asyncio.sleep(POLL_S)
    return False


async def _until_gone(paths: Paths, *, timeout_s: float) -> bool:
    return await _until(lambda: not family(paths).pids, timeout_s=timeout_s)


async def _until(is_so: Callable[[], bool], *, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True


async def _first(waits: Iterable[Coroutine[Any, Any, object]], *, timeout_s: float) -> None:
    """Until the first of them is done, or the time is over."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
