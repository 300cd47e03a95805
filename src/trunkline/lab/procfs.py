"""What /proc says of processes: who is alive, who is whose child, who works in which directory.

Reads only. A process is named by its pid *and* the moment it began, so that a pid that the kernel has given to
somebody else is never taken for ours.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessId:
    """`began`: clock ticks since boot, from /proc/PID/stat; it tells two processes with the same pid apart."""

    pid: int
    began: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStat:
    """The part of /proc/PID/stat that matters here; `state` is the kernel's letter (R, S, D, T, Z, ...)."""

    id: ProcessId
    program: str
    state: str
    parent: int

    @property
    def is_alive(self) -> bool:
        """Whether it can still do something; a zombie only waits for its parent."""
        return self.state not in "ZXx"


def boot_id() -> str:
    """The kernel's name for this boot: pids and ticks of another one mean nothing."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def parse_stat(text: str) -> ProcessStat:
    """/proc/PID/stat: the program's name stands in parentheses and may hold spaces and parentheses itself."""
    head, _, tail = text.rpartition(")")
    pid, _, program = head.partition(" (")
    fields = tail.split()
    return ProcessStat(
        id=ProcessId(pid=int(pid), began=int(fields[19])), program=program, state=fields[0], parent=int(fields[1])
    )


def look_up(pid: int) -> ProcessStat | None:
    """The process with that pid, if there is one."""
    try:
        return parse_stat((PROC / str(pid) / "stat").read_text())
    except (OSError, ValueError):
        return None


def is_alive(process: ProcessId) -> bool:
    """Whether this very process still runs."""
    stat = look_up(process.pid)
    return stat is not None and stat.id == process and stat.is_alive


def is_stopped(process: ProcessId) -> bool:
    """Whether SIGSTOP has taken effect."""
    stat = look_up(process.pid)
    return stat is not None and stat.id == process and stat.state in "Tt"


def every_process() -> Iterator[ProcessStat]:
    """All living processes, in the order of their pids."""
    for pid in sorted(int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()):
        stat = look_up(pid)
        if stat is not None and stat.is_alive:
            yield stat


def descendants(roots: set[int]) -> list[ProcessStat]:
    """The living children of these pids, and their children."""
    everybody = list(every_process())
    found: dict[int, ProcessStat] = {}
    wave = roots
    while wave:
        grown = {stat.id.pid: stat for stat in everybody if stat.parent in wave and stat.id.pid not in found}
        found |= grown
        wave = set(grown)
    return list(found.values())


def working_directory(pid: int) -> Path | None:
    """Where a process works, if we may know."""
    try:
        return Path(str((PROC / str(pid) / "cwd").readlink()).removesuffix(" (deleted)"))
    except OSError:
        return None


def arguments(pid: int) -> tuple[str, ...]:
    """Its command line."""
    try:
        return tuple((PROC / str(pid) / "cmdline").read_text(errors="replace").split("\0"))
    except OSError:
        return ()


def working_under(directory: Path, programs: frozenset[str]) -> list[ProcessStat]:
    """The living processes of these program names whose working directory is the given one or below it."""
    found = []
    for stat in every_process():
        if stat.program not in programs:
            continue
        place = working_directory(stat.id.pid)
        if place is not None and place.is_relative_to(directory):
            found.append(stat)
    return found
