"""Ending a lab ends all of it and nothing else."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from trunkline.lab.ending import FACE, TABLE, end_processes, members_of, remove_files
from trunkline.lab.processes import ProcessTable, send, wait_until
from trunkline.lab.procfs import look_up


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    lab = tmp_path / "lab"
    (lab / "members").mkdir(parents=True)
    yield lab
    if lab.exists():
        send(members_of(lab), signal.SIGKILL)


@pytest.fixture
def stranger(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Somebody's program that happens to work in the lab's directory: a shell, an editor."""
    child = subprocess.Popen(["sleep", "60"], cwd=root)
    yield child
    child.kill()
    child.wait()


def program(directory: Path, name: str) -> str:
    """A program that the kernel knows by that name."""
    copy = directory / name
    shutil.copy(shutil.which("sleep") or "/bin/sleep", copy)
    return str(copy)


def test_what_the_table_remembers_and_its_children_end_even_when_they_are_frozen(root: Path) -> None:
    process = ProcessTable(root / TABLE).start(
        "etcd", ["sh", "-c", "trap '' QUIT TERM; sleep 60 & sleep 61"], directory=root, log=root / "log"
    )
    assert wait_until(lambda: len(members_of(root)) == 3, timeout_s=5)
    send(members_of(root), signal.SIGSTOP)
    end_processes(root)
    assert members_of(root) == []
    stat = look_up(process.pid)
    assert stat is None or not stat.is_alive


def test_an_orphan_that_nobody_remembers_is_found_by_where_it_works(root: Path, tmp_path: Path) -> None:
    with subprocess.Popen([program(tmp_path, "postgres"), "60"], cwd=root / "members") as orphan:
        assert [process.pid for process in members_of(root)] == [orphan.pid]
        end_processes(root)
        assert orphan.wait(timeout=5) != 0


def test_a_stranger_in_the_directory_lives_on(root: Path, stranger: subprocess.Popen[bytes]) -> None:
    end_processes(root)
    assert stranger.poll() is None


def test_the_same_program_elsewhere_lives_on(root: Path, tmp_path: Path) -> None:
    with subprocess.Popen([program(tmp_path, "postgres"), "60"], cwd=tmp_path) as elsewhere:
        end_processes(root)
        assert elsewhere.poll() is None
        elsewhere.kill()


def test_the_face_is_not_one_of_the_members(root: Path) -> None:
    ProcessTable(root / TABLE).start(FACE, ["sleep", "60"], directory=root, log=root / "log")
    assert members_of(root) == []
    send(ProcessTable(root / TABLE).everything().values(), signal.SIGKILL)


def test_a_directory_that_was_there_before_stays(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "precious"
    outside.mkdir()
    (outside / "file").touch()
    (root / "link").symlink_to(outside)
    remove_files(root, keep_directory=True)
    assert list(root.iterdir()) == []
    assert (outside / "file").exists()
    remove_files(root, keep_directory=False)
    assert not root.exists()
