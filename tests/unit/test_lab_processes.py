"""Processes that we start can be found and ended by anybody, and nobody else's are."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from trunkline.errors import LabError
from trunkline.lab.processes import ProcessTable, clean_environment, send, wait_gone, wait_until
from trunkline.lab.procfs import ProcessId, is_alive, is_stopped


@pytest.fixture
def table(tmp_path: Path) -> Iterator[ProcessTable]:
    table = ProcessTable(tmp_path / "processes.json")
    yield table
    send(table.everything().values(), signal.SIGKILL)


def start(table: ProcessTable, directory: Path, *command: str) -> ProcessId:
    return table.start("part", list(command), directory=directory, log=directory / "log")


def test_a_second_table_on_the_same_file_knows_them(table: ProcessTable, tmp_path: Path) -> None:
    process = start(table, tmp_path, "sleep", "60")
    assert ProcessTable(tmp_path / "processes.json").alive("part") == process


def test_each_has_a_session_of_its_own_and_files_for_us_alone(table: ProcessTable, tmp_path: Path) -> None:
    process = start(table, tmp_path, "sh", "-c", "touch made; exec sleep 60")
    assert wait_until((tmp_path / "made").exists, timeout_s=5)
    assert os.getsid(process.pid) == process.pid
    assert (tmp_path / "made").stat().st_mode & 0o077 == 0


def test_one_that_has_ended_is_not_alive_and_no_zombie_stays(table: ProcessTable, tmp_path: Path) -> None:
    process = start(table, tmp_path, "true")

    def has_vanished() -> bool:
        return table.alive("part") is None and not Path(f"/proc/{process.pid}").exists()

    assert wait_until(has_vanished, timeout_s=5)


def test_what_it_says_is_in_its_log(table: ProcessTable, tmp_path: Path) -> None:
    start(table, tmp_path, "sh", "-c", "echo out; echo err >&2")
    assert wait_until(lambda: (tmp_path / "log").read_text() == "out\nerr\n", timeout_s=5)


def test_a_program_that_is_missing_is_an_error_of_ours(table: ProcessTable, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="part cannot be started"):
        start(table, tmp_path, "/nonexistent/program")


def test_pids_of_another_boot_mean_nothing(table: ProcessTable, tmp_path: Path) -> None:
    process = start(table, tmp_path, "sleep", "60")
    file = tmp_path / "processes.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"boot_id": "another"}))
    assert table.everything() == {}
    send([process], signal.SIGKILL)


def test_a_pid_that_has_passed_to_somebody_else_is_not_signalled() -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        send([ProcessId(pid=stranger.pid, began=1)], signal.SIGKILL)
        assert stranger.poll() is None
        stranger.kill()


def test_stopping_and_going_on(table: ProcessTable, tmp_path: Path) -> None:
    process = start(table, tmp_path, "sleep", "60")
    send([process], signal.SIGSTOP)
    assert wait_until(lambda: is_stopped(process), timeout_s=5)
    send([process], signal.SIGCONT)
    assert wait_until(lambda: not is_stopped(process), timeout_s=5)
    assert is_alive(process)


def test_waiting_says_who_has_not_gone(table: ProcessTable, tmp_path: Path) -> None:
    process = start(table, tmp_path, "sleep", "60")
    assert wait_gone([process], timeout_s=0.05) == [process]
    send([process], signal.SIGKILL)
    assert wait_gone([process], timeout_s=5) == []


def test_the_environment_steers_none_of_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGPASSWORD", "PATRONI_SCOPE", "ETCD_NAME", "TRUNKLINE_CONFIG", "LC_TIME"):
        monkeypatch.setenv(name, "foreign")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert "foreign" not in clean_environment().values()
    assert clean_environment()["HOME"] == "/home/somebody"
