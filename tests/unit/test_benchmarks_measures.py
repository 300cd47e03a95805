"""What a benchmark's round is worth: how attempts are counted, and how long one client waited."""

import pytest

from benchmarks.measures import Change, kind_of, longest_wait_s, measure
from benchmarks.rounds import CLIENT_DEADLINE_S
from trunkline.lab.load import CLOSED, READ_ONLY, REFUSED, UNANSWERED, WRITTEN, Attempt, Load
from trunkline.lab.patroni_config import LOOP_WAIT_S, TTL_S

OLD, NEW = "127.0.0.11", "127.0.0.12"
CHANGE = Change(old=OLD, new=NEW, struck=10.0, closed=10.02, writable=12.0)
OF_POSTGRESQL = "FATAL:  the database system is shutting down"
OF_THE_BALANCER = "FATAL:  no primary is available"


def attempt(
    began: float, ended: float, outcome: str = WRITTEN, *, server: str = "", detail: str = "", client: int = 0
) -> Attempt:
    return Attempt(began=began, ended=ended, outcome=outcome, server=server, detail=detail, client=client)


def test_lag_ends_with_the_first_write_that_the_new_primary_took() -> None:
    load = Load(
        attempts=[
            attempt(9.0, 9.1, server=OLD),
            attempt(12.3, 12.6, server=NEW),
            attempt(10.1, 12.4, server=NEW, client=1),
        ]
    )
    measures = measure(load, CHANGE, straight_s=0.02)
    assert measures.lag_s == pytest.approx(0.4)
    assert measures.gap_s == pytest.approx(2.0)
    assert (measures.attempts, measures.written, measures.failed) == (3, 3, 0)


def test_a_new_primary_that_nobody_reached_has_no_lag() -> None:
    assert measure(Load(attempts=[attempt(9.0, 9.1, server=OLD)]), CHANGE, straight_s=0.02).lag_s is None


def test_the_same_server_is_its_own_successor_only_after_the_fault() -> None:
    again = Change(old=OLD, new=OLD, struck=10.0, closed=10.0, writable=12.0)
    load = Load(attempts=[attempt(9.9, 10.0, server=OLD), attempt(12.0, 12.1, server=OLD)])
    assert measure(load, again, straight_s=0.02).lag_s == pytest.approx(0.1)


def test_what_the_old_primary_still_took_is_counted_apart() -> None:
    load = Load(
        attempts=[
            attempt(9.99, 10.1, CLOSED),
            attempt(10.01, 10.03, "57P03", detail=OF_POSTGRESQL),
            attempt(10.02, 10.1, CLOSED),
        ]
    )
    measures = measure(load, CHANGE, straight_s=0.02)
    assert (measures.in_flight, measures.closed, measures.stopping, measures.failed) == (2, 1, 0, 1)


@pytest.mark.parametrize(
    ("outcome", "detail", "kind"),
    [
        (READ_ONLY, "", "read_only"),
        (REFUSED, "", "refused"),
        (CLOSED, "", "closed"),
        (UNANSWERED, "", "unanswered"),
        ("57P03", OF_POSTGRESQL, "stopping"),
        ("57P03", OF_THE_BALANCER, "refused"),
        ("53300", "", "other"),
    ],
)
def test_failures_are_counted_by_their_kind(outcome: str, detail: str, kind: str) -> None:
    failure = attempt(11.0, 11.1, outcome, detail=detail)
    assert kind_of(failure) == kind
    measures = measure(Load(attempts=[failure]), CHANGE, straight_s=0.02)
    assert getattr(measures, kind) == measures.failed == 1


def test_a_wait_lasts_from_the_first_try_to_the_write() -> None:
    attempts = [
        attempt(10.0, 10.1, CLOSED),
        attempt(10.2, 10.3, READ_ONLY),
        attempt(13.0, 13.5),
        attempt(14.0, 14.1),
    ]
    assert longest_wait_s(attempts, since=10.0) == pytest.approx(3.5)


def test_waits_of_different_clients_are_not_joined() -> None:
    attempts = [attempt(10.0, 10.1, CLOSED, client=1), attempt(10.2, 14.0, client=2), attempt(11.0, 11.5, client=1)]
    assert longest_wait_s(attempts, since=10.0) == pytest.approx(3.8)


def test_who_is_never_served_has_waited_until_his_last_try() -> None:
    assert longest_wait_s([attempt(10.0, 40.0, UNANSWERED)], since=10.0) == pytest.approx(30.0)


def test_a_wait_from_before_the_fault_does_not_count() -> None:
    assert longest_wait_s([attempt(1.0, 9.0), attempt(10.0, 10.5)], since=10.0) == pytest.approx(0.5)
    assert longest_wait_s([], since=10.0) == 0.0


def test_clients_are_more_patient_than_our_balancer_holds_them() -> None:
    assert CLIENT_DEADLINE_S > TTL_S + LOOP_WAIT_S + 5
