"""`trunkline drain` and `ready`: what is understood, and what is refused before anything is kept."""

import asyncio
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from trunkline.agent.intents import intents_file, read_drains
from trunkline.cli.drain import login_name, reason_of, time_of
from trunkline.errors import UsageError
from trunkline.testing.fake_cluster import FakeCluster


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45s", 45), ("30m", 1800), ("30min", 1800), ("2h", 7200), ("1d", 86_400), ("1h30m", 5400), (" 1h 30m ", 5400)],
)
def test_lengths_of_time(text: str, seconds: int) -> None:
    assert time_of(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "2", "h", "0s", "-1h", "1.5h", "2 hours", "400d", "2h;", "1h30", "9999999999h"])
def test_no_lengths_of_time(text: str) -> None:
    with pytest.raises(UsageError, match="no length of time"):
        time_of(text)


def test_a_reason_is_one_line() -> None:
    assert reason_of(" kernel\n update ") == "kernel update"
    for text in ("x" * 201, "bell \a"):
        with pytest.raises(UsageError):
            reason_of(text)


def test_behind_sudo_it_is_who_has_called_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ana")
    assert login_name() == "ana"
    monkeypatch.delenv("SUDO_USER")
    monkeypatch.setenv("LOGNAME", "bob")
    assert login_name() == "bob"


async def said(tmp_path: Path, *words: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "trunkline",
            *words,
            "--config",
            str(tmp_path / "t.yml"),
            "--dir",
            str(tmp_path / "run"),
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")},
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_several_clusters_and_no_haproxy(tmp_path: Path) -> None:
    async with FakeCluster(("pg1", "pg2"), scope="one") as one, FakeCluster(("pg1", "pg3"), scope="two") as two:
        clusters = [
            {
                "scope": name,
                "patroni": list(it.urls),
                "services": {"primary": {"bind": ports[0]}, "replicas": {"bind": ports[1]}},
            }
            for name, it, ports in (("one", one, ("*:5000", "*:5001")), ("two", two, ("*:5010", "*:5011")))
        ]
        (tmp_path / "t.yml").write_text(yaml.safe_dump({"clusters": clusters}))
        for words, problem in (
            (("drain", "nobody"), "the members are pg1, pg2, pg3"),
            (("drain", "pg1"), "several clusters have a member 'pg1': one, two"),
            (("drain", "pg1", "--scope", "three"), "there is no cluster 'three'"),
            (("drain", "pg2", "--scope", "two"), "there is no member 'pg2'"),
            (("drain", "pg2", "--for", "soon"), "no length of time"),
        ):
            code, _, err = await said(tmp_path, *words)
            assert (code, problem in err) == (2, True), err
        assert not intents_file(tmp_path / "run").exists()
        code, _, err = await said(tmp_path, "drain", "pg1", "--scope", "two", "--reason", "disk")
        assert code == 1
        assert "it is noted, and nobody can see it done: there is no socket" in err
        (kept,) = read_drains(tmp_path / "run")
        assert (kept.scope, kept.member, kept.why) == ("two", "pg1", "disk")
