"""Files appear whole, with their mode, or not at all."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trunkline.adapters.files import SIBLING, current, differing, install, lock, read_text, write_private
from trunkline.errors import HAProxyError
from trunkline.model.desired import RenderedFile

# root may write anywhere; tests of what may not be written need somebody else
NOT_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")


def file(path: Path, text: str = "new\n", mode: int = 0o644) -> RenderedFile:
    return RenderedFile(path=str(path), text=text, mode=mode)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_text_and_mode(tmp_path: Path) -> None:
    files = (file(tmp_path / "a", mode=0o600), file(tmp_path / "b"))
    assert install(files) == files
    assert [(path.read_text(), mode(path)) for path in sorted(tmp_path.iterdir())] == [
        ("new\n", 0o600),
        ("new\n", 0o644),
    ]


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        install([file(tmp_path / "a")])
    finally:
        os.umask(before)
    assert mode(tmp_path / "a") == 0o644


def test_what_is_in_place_is_not_touched(tmp_path: Path) -> None:
    install([file(tmp_path / "a"), file(tmp_path / "b")])
    before = (tmp_path / "a").stat().st_ino
    changed = file(tmp_path / "b", "newer\n")
    assert install([file(tmp_path / "a"), changed]) == (changed,)
    assert (tmp_path / "a").stat().st_ino == before


def test_a_wrong_mode_is_corrected(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("new\n")
    (tmp_path / "a").chmod(0o666)
    assert differing([file(tmp_path / "a", mode=0o600)])
    install([file(tmp_path / "a", mode=0o600)])
    assert mode(tmp_path / "a") == 0o600


def test_when_one_cannot_be_written_none_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old\n")
    with pytest.raises(HAProxyError, match="cannot write"):
        install([file(tmp_path / "a"), file(tmp_path / "missing" / "b")])
    (tmp_path / "b").mkdir()
    with pytest.raises(HAProxyError, match="cannot write"):
        install([file(tmp_path / "b"), file(tmp_path / "a")])
    assert (tmp_path / "a").read_text() == "old\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@NOT_ROOT
def test_a_directory_of_others_is_an_error_with_a_hint(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(HAProxyError) as caught:
        install([file(tmp_path / "a")])
    assert "run as root" in caught.value.hint


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "a").symlink_to("real/a")
    install([file(tmp_path / "a")])
    assert (tmp_path / "a").is_symlink()
    assert (tmp_path / "real" / "a").read_text() == "new\n"


def test_what_a_killed_run_left_is_taken_away(tmp_path: Path) -> None:
    left = tmp_path / SIBLING.format(name="a")
    left.write_text("half")
    left.chmod(0o666)
    install([file(tmp_path / "a", mode=0o600)])
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert mode(tmp_path / "a") == 0o600


def test_a_kill_at_any_moment_leaves_old_or_new(tmp_path: Path) -> None:
    """Killed in the middle of writing over and over, the file is always one of the two texts, and whole."""
    target, texts = tmp_path / "a", ("x" * 200_000, "y" * 200_000)
    target.write_text(texts[0])
    code = (
        "import itertools, sys; from trunkline.adapters.files import install; "
        "from trunkline.model.desired import RenderedFile as F; print(flush=True)\n"
        "for c in itertools.cycle('yx'): install([F(path=sys.argv[1], text=c * 200_000, mode=0o600)])"
    )
    for pause_s in (0.0, 0.003, 0.007, 0.02):
        writer = subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(pause_s)
        writer.kill()
        writer.communicate()
        assert target.read_text() in texts
    install([file(target)])
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_was_there_can_be_put_back(tmp_path: Path) -> None:
    files = (file(tmp_path / "a"), file(tmp_path / "b"))
    (tmp_path / "a").write_text("old\n")
    before = current(files)
    install(files)
    install(before)
    assert (tmp_path / "a").read_text() == "old\n"


def test_text_that_is_no_utf8_can_be_read_and_written(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"caf\xe9\n")
    assert read_text(tmp_path / "a") == "caf\\xe9\n"
    assert read_text(tmp_path / "b") is None
    half_a_pair = file(tmp_path / "c", "# \ud800\n")
    install([half_a_pair])
    assert not differing([half_a_pair])


def test_private_files_are_private(tmp_path: Path) -> None:
    write_private(tmp_path / "a", "secret")
    assert mode(tmp_path / "a") == 0o600


def test_a_lock_is_held_once_and_let_go(tmp_path: Path) -> None:
    with lock(tmp_path / "lock") as is_alone:
        assert is_alone
        assert read_text(tmp_path / "lock") == f"{os.getpid()}\n"
        with lock(tmp_path / "lock") as is_second:
            assert not is_second
    with lock(tmp_path / "lock") as is_alone:
        assert is_alone
