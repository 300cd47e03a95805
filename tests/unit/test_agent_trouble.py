"""What a failure is in the log: a line when it begins, a line when it ends, and no more, whatever it does."""

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from trunkline.agent.trouble import LONGEST_CALM_S, SOME_REASONS, Trouble

BEGINS, ENDS = "it cannot be asked", "it answers again"


class Clock:
    """Time that passes when it is told to, and what is to happen then."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._due: dict[int, tuple[float, Callable[[], None]]] = {}

    def later(self, seconds: float, what: Callable[[], None]) -> "Due":
        number = len(self._due)
        self._due[number] = (self.now + seconds, what)
        return Due(self, number)

    def forget(self, number: int) -> None:
        self._due[number] = (float("inf"), lambda: None)

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        for number, (at, what) in self._due.items():
            if at <= self.now:
                self.forget(number)
                what()


class Due:
    def __init__(self, clock: Clock, number: int) -> None:
        self._clock, self._number = clock, number

    def cancel(self) -> None:
        self._clock.forget(self._number)


def lines(reasons: list[str], *, every_s: float, most: int = 1) -> list[str]:
    """The log of a trouble that is told these one after the other, "" for none."""
    clock = Clock()
    trouble = Trouble(BEGINS, ENDS, reasons=most, clock=lambda: clock.now, later=clock.later)
    with capture_logs() as told:
        for why in reasons:
            trouble.tell(why)
            clock.pass_by(every_s)
    return [f"{line['event']}: {line['why']}" if "why" in line else line["event"] for line in told]


def test_one_that_lasts_is_two_lines() -> None:
    assert lines(["", "", *["silent"] * 3600, "", "", ""], every_s=1) == [f"{BEGINS}: silent", ENDS]


def test_its_end_is_told_at_once() -> None:
    assert lines(["silent", ""], every_s=0) == [f"{BEGINS}: silent", ENDS]


def test_another_reason_is_no_other_failure() -> None:
    assert lines(["refused", "silent"] * 1000, every_s=0.5) == [f"{BEGINS}: refused"]


def test_another_reason_is_told_once_where_it_matters() -> None:
    told = lines(["refused", "silent"] * 1000, every_s=0.5, most=SOME_REASONS)
    assert told == [f"{BEGINS}: refused", f"{BEGINS}: silent"]


def test_reasons_without_end_are_not_all_told() -> None:
    assert len(lines([f"at {number}" for number in range(1000)], every_s=0.5, most=SOME_REASONS)) == SOME_REASONS


@pytest.mark.parametrize("every_s", [0.01, 0.5, 1.0, 5.0, 10.0, 29.0])
def test_one_that_comes_and_goes_is_one_before_long(every_s: float) -> None:
    told = lines(["silent", ""] * 1000, every_s=every_s)
    assert len(told) <= 2 * 8
    assert told[-1] == f"{BEGINS}: silent"


def test_one_that_comes_and_goes_has_an_end() -> None:
    told = lines(["silent", ""] * 100 + [""] * int(LONGEST_CALM_S + 1), every_s=1)
    assert told[-1] == ENDS


def test_one_that_comes_back_much_later_is_told_like_the_first() -> None:
    once = ["silent", "", *[""] * 100]
    assert lines(once * 10, every_s=1) == [f"{BEGINS}: silent", ENDS] * 10


def test_it_says_of_whom() -> None:
    with capture_logs() as told:
        trouble = Trouble(BEGINS, ENDS, level="error", service="postgres_primary")
        assert not trouble.is_there
        trouble.tell("silent", member="pg1")
        assert trouble.is_there
        trouble.tell("", after="3 s")
        assert not trouble.is_there
    assert told == [
        {"event": BEGINS, "log_level": "error", "service": "postgres_primary", "member": "pg1", "why": "silent"},
        {"event": ENDS, "log_level": "info", "service": "postgres_primary", "after": "3 s"},
    ]
