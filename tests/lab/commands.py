"""The commands that people type about a balancer, with its settings and PostgreSQL's password as libpq finds it."""

import json
import os
import subprocess
import sys
from typing import Any

from trunkline.lab.balancer import Balancer

TIMEOUT_S = 30


def command(balancer: Balancer, *words: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end, whatever that is."""
    place = ("--config", str(balancer.settings), "--dir", str(balancer.directory))
    environ = {**os.environ, "PGUSER": "postgres", "PGPASSWORD": balancer.lab.made.passwords.superuser}
    return subprocess.run(
        [sys.executable, "-m", "trunkline", *words, *place],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=environ,
        check=False,
    )


def status(balancer: Balancer) -> tuple[int, Any]:
    """The exit code of `trunkline status`, and what it says of the cluster."""
    told = command(balancer, "status", "--json")
    assert told.stderr == ""
    return told.returncode, json.loads(told.stdout)["clusters"][0]


def who(balancer: Balancer, *words: str) -> Any:
    """The clients that `trunkline who` finds."""
    told = command(balancer, "who", *words, "--json")
    assert told.stderr == ""
    return json.loads(told.stdout)["clients"]
