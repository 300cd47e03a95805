"""What /proc says of HAProxy's processes, and of whoever listens on a port that we want.

Reads only. A HAProxy of ours is known by its command line, which names its pid file: that survives the death of whoever
started it, and tells it from every other HAProxy of the machine.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from itertools import pairwise
from pathlib import Path

from trunkline.model.desired import Endpoint, Paths

PROC = Path("/proc")
LISTENING = "0A"
"""TCP_LISTEN in /proc/net/tcp."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The processes of one HAProxy: the master, if it runs, and its workers, old ones included."""

    master: int | None
    workers: tuple[int, ...]

    @property
    def pids(self) -> tuple[int, ...]:
        """All of them, the master first."""
        return ((self.master,) if self.master is not None else ()) + self.workers


def command_line(pid: int) -> tuple[str, ...]:
    """The words that a process was started with; empty for one that is gone or a zombie."""
    try:
        return tuple((PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0"))
    except OSError:
        return ()


def family(paths: Paths) -> Family:
    """The HAProxy that was started with these paths. Another user's cannot be it, except for a worker's."""
    ours = [pid for pid in _pids() if is_of(command_line(pid), paths)]
    masters = [pid for pid in ours if parent(pid) not in ours and _uid(pid) == os.geteuid()]
    # a worker whose master was killed looks like a master until it has noticed; the pid file knows
    master = next((pid for pid in masters if pid == _noted(paths)), None)
    return Family(master=master, workers=tuple(pid for pid in ours if pid != master))


def is_of(words: tuple[str, ...], paths: Paths) -> bool:
    """Whether this is the command line of a HAProxy with these paths; a reload puts words of its own before ours."""
    pairs = set(pairwise(words))
    return "-W" in words and ("-p", paths.pid) in pairs and ("-f", paths.config) in pairs


def parent(pid: int) -> int | None:
    """The process that it belongs to."""
    try:
        return int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def with_children(pid: int) -> tuple[int, ...]:
    """A process and those that it has started."""
    return (pid, *(child for child in _pids() if parent(child) == pid))


def program(pid: int) -> str:
    """What it is called."""
    try:
        return (PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return "a process"


def file_limit(pid: int) -> int | None:
    """The hard limit of open files of a process; None without a limit, or where it cannot be read."""
    try:
        match = re.search(r"^Max open files +\S+ +(\d+)", (PROC / str(pid) / "limits").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(match[1]) if match else None


def listeners(endpoint: Endpoint) -> tuple[int, ...]:
    """Who listens where this endpoint wants to; empty as well where /proc does not show it to us."""
    inodes = set(_listening_inodes(endpoint))
    if not inodes:
        return ()
    wanted = {f"socket:[{inode}]" for inode in inodes}
    return tuple(pid for pid in _pids() if wanted & set(_open_files(pid)))


def is_in_the_way(address: str, wanted: str) -> bool:
    """Whether a listener on `address` keeps another from `wanted`; both without brackets, "*" is every IPv4 address."""
    everything = {"*", "0.0.0.0", "::"}
    return address == wanted or address in everything or wanted in everything


def _listening_inodes(endpoint: Endpoint) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = (PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            address, _, port = fields[1].rpartition(":")
            is_on_port = fields[3] == LISTENING and int(port, 16) == endpoint.port
            if is_on_port and is_in_the_way(decode(address), endpoint.address):
                yield fields[9]


def decode(text: str) -> str:
    """An address of /proc/net/tcp: words of four bytes in the byte order of the machine, which here is little."""
    words = (bytes.fromhex(text[index : index + 8])[::-1] for index in range(0, len(text), 8))
    address = ip_address(b"".join(words))
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _open_files(pid: int) -> Iterator[str]:
    try:
        entries = list((PROC / str(pid) / "fd").iterdir())
    except OSError:
        return
    for entry in entries:
        try:
            yield str(entry.readlink())
        except OSError:
            continue


def _pids() -> list[int]:
    return sorted(int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def _uid(pid: int) -> int | None:
    try:
        return (PROC / str(pid)).stat().st_uid
    except OSError:
        return None


def _noted(paths: Paths) -> int | None:
    try:
        return int(Path(paths.pid or "").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def names(pids: Iterable[int]) -> str:
    """Processes in words: `haproxy (pid 12 and 14)`."""
    by_program: dict[str, list[str]] = {}
    for pid in pids:
        by_program.setdefault(program(pid), []).append(str(pid))
    return ", ".join(f"{name} (pid {' and '.join(found)})" for name, found in sorted(by_program.items()))
