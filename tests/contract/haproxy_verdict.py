"""What a real HAProxy says to a configuration, taken apart; shared by scenarios and properties."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from trunkline.adapters.haproxy_binary import environment
from trunkline.lab.binaries import Binary

SERVER_DOWN = re.compile(r"Server (\S+) is DOWN, changed from server-state")
SMALL_TALK = re.compile(
    r"haproxy version is|path to executable is|^Warnings were found|^Configuration file is valid|^$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`down`: servers that begin as DOWN by the state file, "proxy/server". `complaints`: all else that it says."""

    down: frozenset[str]
    complaints: tuple[str, ...]


def told(haproxy: Binary, config: Path) -> str:
    """All that `haproxy -c` says, and its exit status where that is not 0."""
    answer = subprocess.run(
        [haproxy.path, "-c", "-f", config],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
        env=environment(haproxy.path),
    )
    return answer.stdout + answer.stderr + (f"\nstatus {answer.returncode}" if answer.returncode else "")


def judged(haproxy: Binary, config: Path) -> Verdict:
    """The same, understood; the state file is read, too."""
    lines = told(haproxy, config).splitlines()
    return Verdict(
        down=frozenset(found[1] for line in lines if (found := SERVER_DOWN.search(line))),
        complaints=tuple(line for line in lines if not SERVER_DOWN.search(line) and not SMALL_TALK.search(line)),
    )
