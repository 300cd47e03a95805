"""Ending a lab: whatever runs in it, in whatever state it is, and then its files.

Needs nothing but the directory, so that it works after a half-made start, a `kill -9` of the demo, or with frozen
members. It ends only what is provably the lab's: a process that the table remembers with its start time, their
children, and programs of the lab that work inside its directory.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

from trunkline.errors import LabError
from trunkline.lab import record
from trunkline.lab.processes import ProcessTable, send, wait_gone
from trunkline.lab.procfs import ProcessId, arguments, descendants, every_process, working_directory, working_under

TABLE = "processes.json"
# The process that shows the lab to a person; it cleans up itself when it is asked to.
FACE = "demo"
PROGRAMS = frozenset(
    {"postgres", "pg_basebackup", "pg_rewind", "initdb", "pg_controldata", "pg_ctl", "etcd", "haproxy"}
)
PYTHON_MODULES = frozenset({"patroni", "trunkline"})
FACE_TIMEOUT_S = 30.0
QUICK_EXIT_S = 3.0
KILL_TIMEOUT_S = 10.0
ROUNDS = 5


def end_lab(root: Path) -> None:
    """End the lab in this directory, whoever started it: its processes, its files, its face."""
    made = record.load(root)
    face = ProcessTable(root / TABLE).alive(FACE)
    if face is not None and face.pid != os.getpid():
        send([face], signal.SIGTERM)
        send([face], signal.SIGCONT)
        send(wait_gone([face], timeout_s=FACE_TIMEOUT_S), signal.SIGKILL)
    if (root / record.RECORD).exists():
        end_processes(root)
        remove_files(root, keep_directory=not made.made_directory)


def members_of(root: Path) -> list[ProcessId]:
    """Every living process of the lab in this directory, the demo's own excepted."""
    table = ProcessTable(root / TABLE)
    names = [name for name in table.everything() if name != FACE]
    known = [process for process in map(table.alive, names) if process is not None]
    family = [stat.id for stat in descendants({process.pid for process in known})]
    programs = [stat.id for stat in working_under(root, PROGRAMS)]
    return [p for p in dict.fromkeys([*known, *family, *programs, *_python_parts(root)]) if p.pid != os.getpid()]


def end_processes(root: Path) -> None:
    """End all of them: PostgreSQL and HAProxy with a chance to leave, the rest at once. Raises if one survives."""
    supervisors = [p for p in members_of(root) if _is_supervisor(p)]
    # Patroni and the balancer's supervisor would start again what is ended below, so they go first.
    send(supervisors, signal.SIGKILL)
    wait_gone(supervisors, timeout_s=KILL_TIMEOUT_S)
    family = members_of(root)
    # A stopped process takes its signal when it goes on. SIGQUIT: PostgreSQL leaves at once and tidies its memory.
    send(family, signal.SIGQUIT)
    send(family, signal.SIGCONT)
    wait_gone(family, timeout_s=QUICK_EXIT_S)
    remaining: list[ProcessId] = []
    for _ in range(ROUNDS):
        remaining = members_of(root)
        send(remaining, signal.SIGKILL)
        remaining = wait_gone(remaining, timeout_s=KILL_TIMEOUT_S)
        if not remaining and not members_of(root):
            break
    else:
        pids = ", ".join(str(process.pid) for process in remaining)
        raise LabError(f"processes of the lab in {root} do not end: {pids}", hint="end them by hand: kill -9 " + pids)
    for data_dir in sorted(root.glob("members/*/data")):
        _remove_shared_memory(data_dir)


def remove_files(root: Path, *, keep_directory: bool) -> None:
    """Remove all that is in the directory, and the directory unless it was there before the lab."""
    for entry in root.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if not keep_directory:
        root.rmdir()


def _is_supervisor(process: ProcessId) -> bool:
    return any("python" in part for part in arguments(process.pid)[:1]) or "patroni" in arguments(process.pid)


def _python_parts(root: Path) -> list[ProcessId]:
    """Patroni and the balancer's supervisor are Python to the kernel; their arguments name them."""
    found = []
    for stat in every_process():
        words = arguments(stat.id.pid)
        if "-m" not in words or not PYTHON_MODULES.intersection(words):
            continue
        place = working_directory(stat.id.pid)
        if place is not None and place != root and place.is_relative_to(root):
            found.append(stat.id)
    return found


def _remove_shared_memory(data_dir: Path) -> None:
    """A postmaster that was killed leaves 56 bytes of System V shared memory, which its pid file names."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = (data_dir / "postmaster.pid").read_text().splitlines()
        segment = int(lines[6].split()[1])
        if segment in _unattached_segments():
            subprocess.run(["ipcrm", "-m", str(segment)], capture_output=True, timeout=5, check=False)


def _unattached_segments() -> set[int]:
    rows = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    return {int(row[1]) for row in rows if row[6] == "0"}
