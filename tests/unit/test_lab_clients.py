"""The arithmetic of the small client."""

import doctest

from hypothesis import given
from hypothesis import strategies as st

from trunkline.lab import clients
from trunkline.lab.clients import RECENT_S, Report, Tally, reason_of


def test_nothing_yet() -> None:
    assert Tally().report(now=100.0) == Report()


def test_a_stall_counts_while_it_lasts_and_afterwards() -> None:
    tally = Tally()
    tally.count_served(1.0, "127.0.0.11")
    assert tally.report(now=4.0).waiting_s == tally.report(now=4.0).longest_stall_s == 3.0
    tally.count_served(5.0, "127.0.0.12")
    report = tally.report(now=5.5)
    assert (report.waiting_s, report.longest_stall_s) == (0.5, 4.0)


def test_only_servers_that_answered_lately_are_named() -> None:
    tally = Tally()
    tally.count_served(1.0, "127.0.0.13")
    tally.count_served(1.1 + RECENT_S, "127.0.0.12")
    tally.count_served(1.2 + RECENT_S, "127.0.0.11")
    assert tally.report(now=1.3 + RECENT_S).servers == ("127.0.0.11", "127.0.0.12")


def test_failures_do_not_end_a_stall() -> None:
    tally = Tally()
    tally.count_served(1.0, "127.0.0.11")
    tally.count_failed("refused")
    report = tally.report(now=3.0)
    assert (report.failed, report.last_failure, report.waiting_s) == (1, "refused", 2.0)


@given(gaps=st.lists(st.floats(0.001, 50), min_size=1, max_size=40))
def test_the_longest_stall_is_the_longest_gap_and_all_are_counted(gaps: list[float]) -> None:
    tally, now = Tally(), 0.0
    tally.count_served(now, "a")
    for gap in gaps:
        now += gap
        tally.count_served(now, "a")
    report = tally.report(now)
    assert report.served == len(gaps) + 1
    assert abs(report.longest_stall_s - max(gaps)) < 1e-6
    assert len(tally.recent) <= len(gaps) + 1
    assert all(at >= now - RECENT_S for at, _ in tally.recent)


def test_a_failure_is_told_in_one_line() -> None:
    closed = (
        'connection failed: connection to server at "127.0.0.1", port 5000 failed: '
        "server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally\n"
    )
    assert reason_of(closed) == "server closed the connection unexpectedly"
    assert reason_of("cannot execute INSERT in a read-only transaction\n") == (
        "cannot execute INSERT in a read-only transaction"
    )
    assert reason_of("") == "no reason given"


def test_the_examples_in_the_documentation() -> None:
    assert doctest.testmod(clients).failed == 0
