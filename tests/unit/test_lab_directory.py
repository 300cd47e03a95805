"""A lab takes a directory only when nothing is lost by it."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from trunkline.errors import LabError
from trunkline.lab import Lab
from trunkline.lab.binaries import Binaries, Binary
from trunkline.lab.directory import prepare_directory, require_usable
from trunkline.lab.ending import TABLE, end_processes
from trunkline.lab.patroni_config import Passwords
from trunkline.lab.processes import ProcessTable
from trunkline.lab.record import RECORD, Record, load, save, write_private

PROGRAM = Binary(path=Path("/bin/true"), version=(1, 2), source="nowhere")
DEAD_LAB = Record(
    node_count=3,
    port_offset=1000,
    made_directory=True,
    passwords=Passwords(superuser="a", replication="b", rest_api="c"),
    binaries=Binaries(haproxy=None, postgres=PROGRAM, etcd=PROGRAM),
)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_directory_is_for_us_alone_and_goes_with_the_lab(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    require_usable(root)
    assert prepare_directory(root)
    assert mode(root) == 0o700


def test_an_empty_directory_is_taken_and_stays(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    require_usable(tmp_path)
    assert not prepare_directory(tmp_path)
    assert mode(tmp_path) == 0o700


def test_somebody_s_files_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(LabError, match="not empty"):
        require_usable(tmp_path)


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "demo").touch()
    with pytest.raises(LabError, match="cannot be the lab's directory"):
        require_usable(tmp_path / "demo")


def test_a_directory_in_nowhere_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cannot be made"):
        prepare_directory(tmp_path / "no" / "where")


def test_what_a_dead_lab_left_is_cleared_and_forgotten(tmp_path: Path) -> None:
    save(tmp_path, DEAD_LAB)
    (tmp_path / "members").mkdir()
    require_usable(tmp_path)
    assert prepare_directory(tmp_path) is DEAD_LAB.made_directory
    assert list(tmp_path.iterdir()) == []


def test_a_living_lab_is_not_run_over(tmp_path: Path) -> None:
    save(tmp_path, DEAD_LAB)
    ProcessTable(tmp_path / TABLE).start("etcd", ["sleep", "60"], directory=tmp_path, log=tmp_path / "log")
    with pytest.raises(LabError, match="a lab runs in") as refusal:
        require_usable(tmp_path)
    assert refusal.value.hint == f"end it with: trunkline demo stop --dir {tmp_path}"
    end_processes(tmp_path)
    require_usable(tmp_path)


def test_a_lab_found_through_a_link_is_the_same_lab() -> None:
    with TemporaryDirectory(prefix="lab-") as name:  # not pytest's own: its path may be too long for a unix socket
        root, link = Path(name).resolve() / "real", Path(name) / "link"
        root.mkdir()
        link.symlink_to(root)
        save(root, DEAD_LAB)
        assert Lab.attach(link).root == Lab.attach(root).root == root


def test_the_record_comes_back_as_it_was_and_is_for_us_alone(tmp_path: Path) -> None:
    save(tmp_path, DEAD_LAB)
    assert load(tmp_path) == DEAD_LAB
    assert mode(tmp_path / RECORD) == 0o600


def test_no_record_means_no_lab(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="there is no lab in"):
        load(tmp_path)


def test_a_broken_record_is_an_error_of_ours(tmp_path: Path) -> None:
    for text in ("", "{}", "[1]", '{"node_count": 3}'):
        (tmp_path / RECORD).write_text(text)
        with pytest.raises(LabError, match="cannot be read"):
            load(tmp_path)


def test_a_private_file_is_private_even_where_another_was(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    file.chmod(0o644)
    write_private(file, "new")
    assert (file.read_text(), mode(file)) == ("new", 0o600)
