"""Which programs a lab takes."""

import sys
from pathlib import Path

import pytest

from trunkline.errors import LabError
from trunkline.lab.binaries import Binary, find_binaries, find_haproxies, parse_version


def fake_haproxy(path: Path, version: str, built_with: str = "+LUA") -> Path:
    """It answers -v and -vv alike."""
    return fake_program(path, f"HAProxy version {version}\nFeature list : {built_with}")


def fake_program(path: Path, says: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\nprint({says!r})\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("HAProxy version 2.8.25-5cf5d0683 2026/06/26 - https://haproxy.org/", (2, 8, 25)),
        ("HA-Proxy version 1.8.19-1+deb10u3 2020/08/01", (1, 8, 19)),
        ("HAProxy version 2.6.12-1+deb12u3 2025/10/03 - https://haproxy.org/", (2, 6, 12)),
        ("HAProxy version 3.3-dev4-abcdef", (3, 3)),
        ("postgres (PostgreSQL) 18.4", (18, 4)),
        ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", (15, 18)),
        ("etcd Version: 3.5.1", (3, 5, 1)),
        ("command not found", ()),
    ],
)
def test_versions_are_read_from_what_programs_say(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version


def test_ten_is_newer_than_nine() -> None:
    assert parse_version("HAProxy version 2.10.1") > parse_version("HAProxy version 2.9.14")


def test_the_environment_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = fake_haproxy(tmp_path / "haproxy", "2.7.1")
    monkeypatch.setenv("TRUNKLINE_HAPROXY", str(program))
    assert find_haproxies() == (Binary(path=program, version=(2, 7, 1), source="TRUNKLINE_HAPROXY"),)


def test_a_name_in_the_environment_that_leads_nowhere_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_POSTGRES_BIN", "/nonexistent")
    with pytest.raises(LabError, match="TRUNKLINE_POSTGRES_BIN names /nonexistent/postgres"):
        find_binaries()


def test_the_newest_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_haproxy(tmp_path / "haproxy", "99.0.1")
    monkeypatch.delenv("TRUNKLINE_HAPROXY", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_haproxies()
    assert found[0].path == tmp_path / "haproxy"
    assert [binary.version for binary in found] == sorted((b.version for b in found), reverse=True)


def test_one_that_cannot_run_our_configuration_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_haproxy(tmp_path / "haproxy", "99.0.1", built_with="-LUA")
    monkeypatch.delenv("TRUNKLINE_HAPROXY", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (99, 0, 1) not in [binary.version for binary in find_haproxies()]


def test_a_program_that_does_not_run_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "haproxy"
    broken.write_text("#!/nonexistent\n")
    broken.chmod(0o755)
    monkeypatch.delenv("TRUNKLINE_HAPROXY", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert broken not in [binary.path for binary in find_haproxies()]
