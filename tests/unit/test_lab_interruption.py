"""Signals become one exception, at a moment of our choosing."""

import os
import signal

import pytest

from trunkline.lab.interruption import SIGNALS, Interrupted, interruptible


def signal_myself(*numbers: int) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_interrupts_and_later_ones_do_not_disturb_the_cleaning_up(number: int) -> None:
    with interruptible():
        with pytest.raises(Interrupted) as interrupted:
            signal_myself(number)
        signal_myself(*SIGNALS)
    assert interrupted.value.number == number


def test_a_shielded_step_is_whole() -> None:
    steps = []

    def work() -> None:
        with interruptible() as interruption:
            with interruption.shielded():
                signal_myself(signal.SIGTERM)
                steps.append("whole")
            steps.append("went on")

    with pytest.raises(Interrupted):
        work()
    assert steps == ["whole"]


def test_an_error_in_a_shielded_step_is_not_hidden_by_the_signal() -> None:
    def fail() -> None:
        with interruptible() as interruption, interruption.shielded():
            signal_myself(signal.SIGTERM)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()


def test_everything_is_as_before_afterwards() -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with interruptible():
        assert [signal.getsignal(each) for each in SIGNALS] != before
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_who_ignores_hangups_keeps_ignoring_them() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            signal_myself(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
