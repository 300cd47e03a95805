"""Starting processes so that every one of them can be found and ended again.

Each runs in a session of its own, so that a terminal's Ctrl-C reaches only the demo itself. Its pid and the moment it
began go into a file as soon as it runs: whoever comes later, even after a `kill -9` of the starter, ends exactly
those. Decides nothing about what to start.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from trunkline.errors import LabError
from trunkline.lab.procfs import ProcessId, boot_id, is_alive, look_up

# Variables that would steer the programs from outside; the lab is the same on every desk.
FOREIGN_PREFIXES = ("PG", "PATRONI_", "ETCD_", "ETCDCTL_", "TRUNKLINE_", "LC_", "HAPROXY_")
POLL_S = 0.02


def clean_environment() -> dict[str, str]:
    """Our environment without what would change how the lab's programs behave."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}
    return kept | {"LC_ALL": "C", "PYTHONUNBUFFERED": "1"}


class ProcessTable:
    """The lab's own processes by name ("etcd", "pg1", "balancer", "demo"), remembered in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def __repr__(self) -> str:
        return f"ProcessTable({self._path}, {self.everything()})"

    def everything(self) -> dict[str, ProcessId]:
        """Whom we started since this machine booted, dead or alive."""
        try:
            record = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        if record["boot_id"] != boot_id():
            return {}
        return {name: ProcessId(pid=pid, began=began) for name, (pid, began) in record["processes"].items()}

    def alive(self, name: str) -> ProcessId | None:
        """The process of that name, if it runs."""
        self._reap()
        process = self.everything().get(name)
        return process if process is not None and is_alive(process) else None

    def adopt(self, name: str, pid: int) -> None:
        """Remember a process that is there already."""
        stat = look_up(pid)
        if stat is not None:
            self._remember(name, stat.id)

    def start(
        self,
        name: str,
        command: list[str],
        *,
        directory: Path,
        log: Path,
        environment: Mapping[str, str] | None = None,
        user: int | None = None,
    ) -> ProcessId:
        """Run a command in `directory`, what it says appended to `log`; files that it makes are ours alone."""
        with log.open("ab") as sink:
            try:
                child = subprocess.Popen(
                    command,
                    cwd=directory,
                    env=clean_environment() | dict(environment or {}),
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    umask=0o077,
                    user=user,
                    group=user,
                    extra_groups=None if user is None else [],
                )
            except OSError as error:
                raise LabError(f"{name} cannot be started: {error}") from error
        stat = look_up(child.pid)
        if stat is None:
            raise LabError(f"{name} ended at once", hint=f"its last words are in {log}")
        self._children[child.pid] = child
        self._remember(name, stat.id)
        return stat.id

    def _remember(self, name: str, process: ProcessId) -> None:
        everybody = {known: [other.pid, other.began] for known, other in self.everything().items()}
        everybody[name] = [process.pid, process.began]
        sibling = self._path.with_suffix(".tmp")
        sibling.write_text(json.dumps({"boot_id": boot_id(), "processes": everybody}, indent=1))
        sibling.replace(self._path)

    def _reap(self) -> None:
        """Children of ours that have ended stay zombies until somebody asks for their exit code."""
        for pid in [pid for pid, child in self._children.items() if child.poll() is not None]:
            del self._children[pid]


def send(processes: Iterable[ProcessId], number: signal.Signals) -> None:
    """A signal for each of them that still is what it was."""
    for process in processes:
        if is_alive(process):
            try:
                os.kill(process.pid, number)
            except ProcessLookupError:
                continue
            except PermissionError as error:
                raise LabError(
                    f"process {process.pid} is not ours to signal", hint="run as who started the lab"
                ) from error


def wait_until(condition: Callable[[], bool], *, timeout_s: float, poll_s: float = POLL_S) -> bool:
    """Whether a condition of the outside world came true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return condition()
        time.sleep(poll_s)
    return True


def wait_gone(processes: Iterable[ProcessId], *, timeout_s: float) -> list[ProcessId]:
    """Those that are still there after the time."""
    remaining = list(processes)

    def all_gone() -> bool:
        nonlocal remaining
        remaining = [process for process in remaining if is_alive(process)]
        return not remaining

    wait_until(all_gone, timeout_s=timeout_s)
    return remaining
