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
from trunkline.lab.procfs import ProcessId, arguments, descendants, every_process, working_under

TABLE = "processes.json"
# The process that shows the lab to a person; it cleans up itself when it is asked to.
FACE = "demo"
PROGRAMS = frozenset(
    {"postgres", "pg_basebackup", "pg_rewind", "initdb", "pg_controldata", "pg_ctl", "etcd", "haproxy"}
)
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
    programs = [stat.id for stat in working_under(root, _programs(root))]
    return list(dict.fromkeys([*known, *family, *programs, *_supervisors(root)]))


def end_processes(root: Path) -> None:
    """End all of them; PostgreSQL gets a chance to tidy up. Raises if one survives."""
    # Patroni and `trunkline run` would start again what is ended below, so they go first, at once.
    supervisors = _supervisors(root)
    send(supervisors, signal.SIGKILL)
    wait_gone(supervisors, timeout_s=KILL_TIMEOUT_S)
    # SIGQUIT: PostgreSQL leaves at once, but removes its shared memory. Who is stopped takes it when he goes on.
    servers = [stat.id for stat in working_under(root, frozenset({"postgres"}))]
    send(servers, signal.SIGQUIT)
    send(servers, signal.SIGCONT)
    wait_gone(servers, timeout_s=QUICK_EXIT_S)
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


def _programs(root: Path) -> frozenset[str]:
    """What the kernel calls the lab's programs; it keeps 15 characters of a name."""
    try:
        parts = record.load(root).binaries
    except LabError:
        return PROGRAMS
    return PROGRAMS | {part.path.name[:15] for part in (parts.haproxy, parts.postgres, parts.etcd) if part}


def _supervisors(root: Path) -> list[ProcessId]:
    """Patroni and `trunkline run`: both are Python to the kernel, but their arguments lead into the directory."""
    found = []
    for stat in every_process():
        words = arguments(stat.id.pid)
        is_patroni = "patroni" in words and any(word.startswith(f"{root}/members/") for word in words)
        is_balancer = "run" in words and f"{root}/balancer" in words
        if is_patroni or is_balancer:
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
