"""What a real HAProxy says to a configuration, taken apart; shared by scenarios and properties."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

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


def judged(haproxy: Binary, *configs: Path) -> Verdict:
    """`haproxy -c`, which reads the state file, too."""
    files = [word for config in configs for word in ("-f", str(config))]
    answer = subprocess.run(
        [haproxy.path, "-c", *files], capture_output=True, text=True, errors="replace", timeout=60, check=False
    )
    lines = (answer.stdout + answer.stderr).splitlines()
    others = tuple(line for line in lines if not SERVER_DOWN.search(line) and not SMALL_TALK.search(line))
    status = () if answer.returncode == 0 else (f"status {answer.returncode}",)
    return Verdict(
        down=frozenset(found[1] for line in lines if (found := SERVER_DOWN.search(line))), complaints=others + status
    )
