"""What processes use: CPU time over a while, and memory at a moment, as the kernel counts both."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trunkline.errors import LabError
from trunkline.lab.procfs import PROC, ProcessId, look_up

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes. `rss`: pages that are there; `pss`: each of them divided by the number of processes that share it."""

    rss: int
    pss: int

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(rss=self.rss + other.rss, pss=self.pss + other.pss)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Of some processes together: the share of one core over `window_s` seconds, and memory at its end."""

    cpu_share: float
    window_s: float
    memory: Memory


class Meter:
    """Begins to count when it is made."""

    def __init__(self, processes: Iterable[ProcessId]) -> None:
        self._processes = tuple(processes)
        if not self._processes:
            raise LabError("there is no process to measure")
        self._began, self._before = time.monotonic(), sum(map(cpu_s, self._processes))

    def read(self) -> Usage:
        """Since then. Raises LabError where one of them has ended: what it used nobody can tell."""
        window_s = time.monotonic() - self._began
        used_s = sum(map(cpu_s, self._processes)) - self._before
        memories = [memory(it) for it in self._processes]
        return Usage(cpu_share=used_s / window_s, window_s=window_s, memory=sum(memories[1:], memories[0]))


def cpu_s(process: ProcessId) -> float:
    """Seconds of CPU that it has used, in its own code and in the kernel."""
    stat = look_up(process.pid)
    if stat is None or stat.id != process or not stat.is_alive:
        raise LabError(f"process {process.pid} has ended while it was measured")
    return parse_cpu_s((PROC / str(process.pid) / "stat").read_text())


def memory(process: ProcessId) -> Memory:
    """What it has now."""
    try:
        return parse_memory((PROC / str(process.pid) / "smaps_rollup").read_text())
    except OSError:
        raise LabError(f"the memory of process {process.pid} cannot be read") from None


def parse_cpu_s(text: str) -> float:
    """/proc/PID/stat: `utime` and `stime`."""
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def parse_memory(text: str) -> Memory:
    """/proc/PID/smaps_rollup, whose numbers are in KiB."""
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line and line.endswith("kB"))
    sizes = {name: int(value.split()[0]) * KIB for name, value in lines.items()}
    return Memory(rss=sizes["Rss"], pss=sizes["Pss"])


def process_of(pid: int) -> ProcessId:
    """The process that has this pid now."""
    stat = look_up(pid)
    if stat is None:
        raise LabError(f"there is no process {pid}")
    return stat.id


def load_average() -> float:
    """Of the last minute."""
    return round(float(Path("/proc/loadavg").read_text().split()[0]), 2)
