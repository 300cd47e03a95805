"""`trunkline demo` as people run it: a command, a directory, and nothing left in the end."""

import json
import os
import pty
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from trunkline.adapters.files import read_text
from trunkline.lab import Lab
from trunkline.lab.ending import end_lab, members_of
from trunkline.lab.layout import plan_layout
from trunkline.lab.ports import taken
from trunkline.lab.processes import wait_until

START_TIMEOUT_S = 60
END_TIMEOUT_S = 30


@pytest.fixture
def root() -> Iterator[Path]:
    parent = Path(tempfile.mkdtemp(prefix="demo-", dir="/tmp"))
    yield parent / "d"
    if (parent / "d").exists():
        end_lab(parent / "d")
    shutil.rmtree(parent)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "trunkline", "demo", *arguments]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
        check=False,
        env=os.environ | environment,
    )


def start(root: Path, port_offset: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("--dir", str(root), "--port-offset", str(port_offset)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def assert_nothing_is_left(root: Path, port_offset: int) -> None:
    assert not root.exists()
    assert members_of(root) == []
    assert taken(plan_layout(root, port_offset=port_offset).all_ports) == []


def test_detached_it_keeps_every_promise_and_stop_leaves_nothing(root: Path, port_offset: int) -> None:
    began = time.monotonic()
    started = run("--dir", str(root), "--port-offset", str(port_offset), "--detach", "--json")
    assert started.returncode == 0, started.stderr
    assert time.monotonic() - began < START_TIMEOUT_S
    assert json.loads(started.stdout) == json.loads((root / "lab.json").read_text())
    described = json.loads(started.stdout)

    assert set(described) == {
        *("scope", "listen", "superuser", "settings", "haproxy", "agent", "etcd", "members", "patronictl")
    }
    assert described["listen"] == {
        "primary": f"127.0.0.1:{5000 + port_offset}",
        "replicas": f"127.0.0.1:{5001 + port_offset}",
        "stats": f"127.0.0.1:{7000 + port_offset}",
    }
    pids = [described[part]["pid"] for part in ("haproxy", "agent", "etcd")]
    pids += [member["patroni_pid"] for member in described["members"]]
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    assert [member["host"] for member in described["members"]] == ["127.0.0.11", "127.0.0.12", "127.0.0.13"]

    assert in_recovery(described, "primary") == (False, True)
    assert in_recovery(described, "replicas") == (True, False)
    with urllib.request.urlopen(f"http://{described['listen']['stats']}/stats", timeout=5) as page:
        assert b"postgres_primary" in page.read()
    listing = subprocess.run(
        [*shlex.split(described["patronictl"]), "list"], cwd="/", capture_output=True, text=True, timeout=30, check=True
    )
    assert "Leader" in listing.stdout
    for file in ("lab.json", "cluster.json", "trunkline.yml", "patronictl.yml", "members/pg1/patroni.yml"):
        assert (root / file).stat().st_mode & 0o077 == 0, file
    assert root.stat().st_mode & 0o077 == 0

    for part in ("agent", "haproxy"):
        assert_found_again(described[part])
    again = run("--dir", str(root), "--port-offset", str(port_offset), "--detach")
    assert again.returncode == 1
    assert "a lab runs in" in again.stderr
    stopped = run("stop", "--dir", str(root))
    assert stopped.returncode == 0, stopped.stderr
    assert_nothing_is_left(root, port_offset)


def assert_found_again(process: dict[str, Any]) -> None:
    """Killed, it is started anew, and who has read lab.json finds it."""
    file = Path(process["pid_file"])
    assert file.read_text().split() == [str(process["pid"])]
    os.kill(process["pid"], signal.SIGKILL)

    def is_another() -> bool:
        noted = (read_text(file) or "").strip()
        return noted not in ("", str(process["pid"])) and Path(f"/proc/{noted}").exists()

    assert wait_until(is_another, timeout_s=START_TIMEOUT_S)


def in_recovery(described: dict[str, Any], service: str) -> tuple[bool, bool]:
    """What a client sees there: whether the server is in recovery, and whether a write succeeds."""
    host, _, port = described["listen"][service].partition(":")
    user = described["superuser"]
    with psycopg.connect(
        host=host, port=int(port), user=user["user"], password=user["password"], dbname="postgres", autocommit=True
    ) as connection:
        row = connection.execute("select pg_is_in_recovery()").fetchone()
        try:
            connection.execute("create table if not exists written (at timestamptz)")
        except psycopg.errors.ReadOnlySqlTransaction:
            return bool(row and row[0]), False
        return bool(row and row[0]), True


@pytest.mark.parametrize("sign", ["etcd: starting", "starts", "initialises", "trunkline run: starting"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_interrupted_while_starting_it_cleans_up(root: Path, port_offset: int, sign: str, number: int) -> None:
    with start(root, port_offset) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if sign in line:
                break
        demo.send_signal(number)
        said = demo.communicate(timeout=END_TIMEOUT_S)[0]
    assert demo.returncode == 128 + number
    assert "interrupted" in said
    assert_nothing_is_left(root, port_offset)


def test_without_a_terminal_it_runs_until_it_is_stopped_from_elsewhere(root: Path, port_offset: int) -> None:
    with start(root, port_offset) as demo:
        assert wait_until((root / "lab.json").exists, timeout_s=START_TIMEOUT_S)
        assert run("stop", "--dir", str(root)).returncode == 0
        assert demo.wait(timeout=END_TIMEOUT_S) == 0
    assert_nothing_is_left(root, port_offset)


def test_stop_ends_what_a_killed_demo_has_left_frozen_members_included(root: Path, port_offset: int) -> None:
    with start(root, port_offset) as demo:
        assert wait_until((root / "lab.json").exists, timeout_s=START_TIMEOUT_S)
        demo.kill()
    lab = Lab.attach(root)
    lab.freeze_node("pg1")
    lab.kill_patroni("pg2")
    lab.kill_postmaster("pg3")
    stopped = run("stop", "--dir", str(root))
    assert stopped.returncode == 0, stopped.stderr
    assert_nothing_is_left(root, port_offset)


def test_a_taken_port_is_named_before_anything_starts(root: Path, port_offset: int) -> None:
    with socket.create_server(("127.0.0.1", 5000 + port_offset)):
        refused = run("--dir", str(root), "--port-offset", str(port_offset))
    assert refused.returncode == 1
    assert f"port 127.0.0.1:{5000 + port_offset} is taken" in refused.stderr
    assert re.search(r"--port-offset \d+", refused.stderr)
    assert not root.exists()


def test_a_start_that_fails_leaves_its_logs_and_nothing_else(root: Path, port_offset: int) -> None:
    broken = root.parent / "haproxy"
    broken.write_text(
        '#!/bin/sh\ncase "$1" in -v*) echo "HAProxy version 2.8.1 +LUA";; *) echo "out of order" >&2; exit 1;; esac\n'
    )
    broken.chmod(0o755)
    failed = run("--dir", str(root), "--port-offset", str(port_offset), TRUNKLINE_HAPROXY=str(broken))
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert str(root / "balancer/run.log") in failed.stderr
    assert members_of(root) == []
    assert (root / "balancer/run.log").exists()


def test_nothing_to_stop_is_said(root: Path) -> None:
    stopped = run("stop", "--dir", str(root))
    assert stopped.returncode == 1
    assert f"there is no lab in {root}" in stopped.stderr


def test_the_live_view_shows_a_switchover_at_the_press_of_a_key(root: Path, port_offset: int) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": "140", "LINES": "40"}
        os.execv(sys.executable, command("--dir", str(root), "--port-offset", str(port_offset)))
    seen = ""

    def wait_for(pattern: str) -> None:
        nonlocal seen
        deadline = time.monotonic() + START_TIMEOUT_S
        while not re.search(pattern, seen):
            assert time.monotonic() < deadline, seen[-4000:]
            seen += os.read(terminal, 65_536).decode(errors="replace")

    wait_for(r"read-write.*→.*pg\d")
    os.write(terminal, b"s")
    wait_for(r"switchover: pg\d leads")
    seen = ""
    wait_for(r"read-write.*→.*pg\d")
    os.write(terminal, b"q")
    assert wait_until(lambda: os.waitpid(pid, os.WNOHANG) == (pid, 0), timeout_s=END_TIMEOUT_S)
    os.close(terminal)
    assert_nothing_is_left(root, port_offset)
