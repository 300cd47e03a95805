"""What /proc says, read right."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.lab.procfs import ProcessId, descendants, is_alive, look_up, parse_stat, working_under

STAT = "{pid} ({program}) {state} {parent} 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 {began} 1 1 18446744073709551615"


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(["sleep", "60"], cwd=tmp_path)
    yield child
    child.kill()
    child.wait()


@given(
    pid=st.integers(1, 4_194_304),
    program=st.text(st.characters(codec="ascii", exclude_characters="\0\n"), max_size=15),
    state=st.sampled_from("RSDTZX"),
    parent=st.integers(0, 4_194_304),
    began=st.integers(0, 2**40),
)
def test_a_program_may_be_named_anything(pid: int, program: str, state: str, parent: int, began: int) -> None:
    stat = parse_stat(STAT.format(pid=pid, program=program, state=state, parent=parent, began=began))
    assert (stat.id, stat.program) == (ProcessId(pid=pid, began=began), program)
    assert (stat.state, stat.parent, stat.is_alive) == (state, parent, state not in "ZX")


def test_a_process_is_known_by_pid_and_beginning(sleeper: subprocess.Popen[bytes]) -> None:
    stat = look_up(sleeper.pid)
    assert stat is not None
    assert is_alive(stat.id)
    assert not is_alive(ProcessId(pid=stat.id.pid, began=stat.id.began - 1))


def test_a_zombie_is_dead(sleeper: subprocess.Popen[bytes]) -> None:
    stat = look_up(sleeper.pid)
    assert stat is not None
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert look_up(sleeper.pid) is not None
    assert not is_alive(stat.id)


def test_children_of_children_are_found() -> None:
    script = "import subprocess, sys; subprocess.Popen(['sleep', '60']); print('x', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        found = descendants({os.getpid()})
        assert {stat.program for stat in found if stat.parent == child.pid} == {"sleep"}
        assert child.pid in {stat.id.pid for stat in found}
        for stat in descendants({child.pid}):
            os.kill(stat.id.pid, 9)


def test_only_named_programs_that_work_inside_are_found(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    def found(directory: Path, program: str) -> list[int]:
        return [stat.id.pid for stat in working_under(directory, frozenset({program}))]

    assert found(tmp_path, "sleep") == found(tmp_path.parent, "sleep") == [sleeper.pid]
    assert found(tmp_path, "postgres") == []
    assert found(tmp_path / "deeper", "sleep") == []
