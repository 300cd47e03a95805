"""`trunkline history`: how many receipts are told, and where they are looked for."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from trunkline.agent.history import History, history_file
from trunkline.cli.commands import app
from trunkline.cli.history import SHOWN
from trunkline.model.receipt import Receipt

RECEIPT = Receipt(
    scope="demo",
    service="postgres_primary",
    old="pg1",
    new="pg2",
    began_at_s=1_800_000_000.25,
    ended_at_s=1_800_000_003.5,
    is_planned=True,
    timeline_before=1,
    timeline_after=2,
    gap_s=1.5,
)


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings come from wherever the tests run."""
    for name in ("TRUNKLINE_CONFIG", "TRUNKLINE_PATRONI", "TRUNKLINE_PATRONI_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def keep(directory: Path, count: int) -> None:
    history = History(history_file(directory))
    for number in range(1, count + 1):
        history.append(replace(RECEIPT, timeline_before=number, timeline_after=number + 1))


def ask(directory: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["history", "--dir", str(directory), *words], catch_exceptions=False)


def receipts(told: Result) -> list[int]:
    return [it["timeline_after"] for it in json.loads(told.stdout)["receipts"]]


def test_a_directory_alone_is_enough(tmp_path: Path) -> None:
    assert ask(tmp_path).stdout == "no role change has been seen yet\n"
    keep(tmp_path, 1)
    told = ask(tmp_path)
    assert told.exit_code == 0
    assert "postgres_primary: pg1 -> pg2" in told.stdout
    assert "older" not in told.stdout


def test_settings_that_are_named_are_read_all_the_same(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["history", "--dir", str(tmp_path), "--config", str(tmp_path / "none.yml")])
    assert told.exit_code != 0


def test_of_one_cluster_where_several_share_a_history(tmp_path: Path) -> None:
    keep(tmp_path, 2)
    History(history_file(tmp_path)).append(replace(RECEIPT, scope="other", timeline_after=9))
    assert receipts(ask(tmp_path, "--json", "--scope", "other")) == [9]


def test_people_are_shown_the_last_ten_and_told_of_the_others(tmp_path: Path) -> None:
    keep(tmp_path, SHOWN)
    assert len(ask(tmp_path, "--brief").stdout.splitlines()) == SHOWN
    keep(tmp_path, 1)
    *shown, last = ask(tmp_path, "--brief").stdout.splitlines()
    assert (len(shown), last) == (SHOWN, f"1 older one is left out: --last {SHOWN + 1}")
    keep(tmp_path, 1)
    assert ask(tmp_path).stdout.splitlines()[-1] == f"2 older ones are left out: --last {SHOWN + 2}"


def test_who_says_how_many_gets_so_many_and_no_remark(tmp_path: Path) -> None:
    keep(tmp_path, SHOWN + 2)
    for count in (3, SHOWN + 2):
        assert len(ask(tmp_path, "--brief", "--last", str(count)).stdout.splitlines()) == count


def test_json_tells_all_unless_fewer_are_asked_for(tmp_path: Path) -> None:
    keep(tmp_path, SHOWN + 2)
    assert receipts(ask(tmp_path, "--json")) == list(range(2, SHOWN + 4))
    assert receipts(ask(tmp_path, "--json", "--last", "2")) == [SHOWN + 2, SHOWN + 3]
