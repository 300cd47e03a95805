"""The history on disk: everything that was kept is read again, and a crash costs at most what was being written."""

from dataclasses import replace
from pathlib import Path

import pytest

from trunkline.agent.history import MOST, SLACK, History, history_file, read_history
from trunkline.errors import HAProxyError
from trunkline.model.receipt import Deed, Receipt, Sight, Sighting
from trunkline.wire.receipts import read_receipt, write_receipt

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
    sessions_ended=3,
    sightings=(Sighting(at_s=1_800_000_000.25, what=Sight.GAP_BEGAN, member="pg1"),),
    deeds=(Deed(at_s=1_800_000_000.3, command="set server a/b health down", reason="it “stops”\nnow", refusal=""),),
)


def numbered(number: int) -> Receipt:
    return replace(RECEIPT, timeline_after=number)


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    History(tmp_path / "deep" / "history.jsonl").append(RECEIPT)
    assert History(tmp_path / "deep" / "history.jsonl").read() == (RECEIPT,)


def test_nothing_is_read_where_nothing_is(tmp_path: Path) -> None:
    assert read_history(tmp_path / "history.jsonl") == ()


def test_a_receipt_is_one_line() -> None:
    line = write_receipt(RECEIPT)
    assert "\n" not in line
    assert read_receipt(line) == RECEIPT


@pytest.mark.parametrize("line", ["", "{", "[]", "null", '{"scope": "demo"}', write_receipt(RECEIPT)[:-9], "\ud800"])
def test_a_line_that_is_no_receipt_is_none(line: str) -> None:
    assert read_receipt(line) is None


def test_a_receipt_of_a_later_version_is_read() -> None:
    assert read_receipt(write_receipt(RECEIPT)[:-1] + ',"weather":"fine"}') == RECEIPT


def test_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(write_receipt(numbered(1)) + "\n" + write_receipt(numbered(2))[:40])
    History(path).append(numbered(3))
    assert [it.timeline_after for it in read_history(path)] == [1, 3]


def test_the_history_is_bounded_and_keeps_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text("".join(write_receipt(numbered(number)) + "\n" for number in range(MOST + SLACK)))
    History(path).append(numbered(MOST + SLACK))
    assert len(path.read_text().splitlines()) == MOST
    assert [it.timeline_after for it in read_history(path)] == list(range(SLACK + 1, MOST + SLACK + 1))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HAProxyError, match=r"file/history\.jsonl"):
        History(tmp_path / "file" / "history.jsonl").append(RECEIPT)


def test_the_history_of_a_run_outlives_a_boot() -> None:
    assert history_file(Path("/run/trunkline")) == Path("/var/lib/trunkline/history.jsonl")
    assert history_file(Path("/srv/db/trunkline")) == Path("/srv/db/trunkline/history.jsonl")
