"""From cycles to receipts: what was seen and done, when, and nothing that was not."""

from dataclasses import dataclass, replace

import pytest

from trunkline.model.cluster import MemberAnswer, Role
from trunkline.model.facts import LeaderKey, MemberFacts, PortFact, PortVerdict, RestFact
from trunkline.model.receipt import Deed, Glimpse, Receipt, Sight
from trunkline.plan.receipts import SETTLED_S, UNHEALTHY_S, RecorderState, advance, resume
from trunkline.plan.timeline import moments, sentence
from trunkline.plan.tracks import QUERIED

T0 = 1_800_000_000.0
NEW = RecorderState(scope="demo", service="postgres_primary")
DOWN_PG1 = Deed(at_s=T0 + 1.1, command="set server postgres_primary/pg1 health down", reason="it stops")
UP_PG2 = Deed(at_s=T0 + 3.02, command="set server postgres_primary/pg2 health up", reason="it serves")


@dataclass
class Film:
    """A recorder that is shown one cycle after another, `at` seconds after the beginning."""

    state: RecorderState = NEW

    def show(self, at: float, serving: str, *members: MemberFacts, key: LeaderKey | None = None) -> Receipt | None:
        return self.show_more(at, serving, members, key=key)

    def show_more(
        self,
        at: float,
        serving: str,
        members: tuple[MemberFacts, ...] = (),
        *,
        key: LeaderKey | None = None,
        deeds: tuple[Deed, ...] = (),
        healthy: str | None = None,
        **counts: float,
    ) -> Receipt | None:
        glimpse = Glimpse(
            at_s=T0 + at,
            serving=tuple(serving.split()),
            healthy=tuple((serving if healthy is None else healthy).split()),
            members=members,
            leader_key=key,
            deeds=deeds,
        )
        self.state, receipt = advance(self.state, replace(glimpse, **counts))  # type: ignore[arg-type]
        return receipt

    def end(self, at: float, serving: str, *members: MemberFacts) -> Receipt:
        """The receipt that is due by then."""
        receipt = self.show(at, serving, *members)
        assert receipt is not None
        return receipt


def primary(timeline: int = 1, state: str = "running") -> MemberAnswer:
    is_running = state == "running"
    return MemberAnswer(
        scope="demo",
        name="",
        role=Role.PRIMARY,
        state=state,
        patroni_version="4.1.0",
        status_code=200 if is_running else 503,
        timeline=timeline,
        writes_location=4711 if is_running else None,
    )


def replica(timeline: int = 1) -> MemberAnswer:
    return replace(primary(timeline), role=Role.REPLICA, status_code=503, writes_location=None, replay_location=4711)


def said(name: str, answer: MemberAnswer | None, age_s: float = 0.0, port: PortFact | None = None) -> MemberFacts:
    return MemberFacts(name=name, server=name, rest=RestFact(answer=answer, age_s=age_s), port=port)


def port(verdict: PortVerdict, age_s: float = 0.0) -> PortFact:
    return PortFact(verdict=verdict, age_s=age_s)


def key(holder: str | None, age_s: float = 0.0) -> LeaderKey:
    return LeaderKey(holder=holder, age_s=age_s, source="etcd")


@pytest.fixture
def film() -> Film:
    """pg1 is served, and was well 0.1 s after the beginning."""
    film = Film()
    film.show(0.0, "pg1", said("pg1", primary()), said("pg2", replica()), key=key("pg1"))
    film.show(0.5, "pg1", said("pg1", primary(), age_s=0.4), said("pg2", replica(), age_s=0.4), key=key("pg1"))
    return film


def failed_over(film: Film) -> Receipt:
    """pg1 stops in order 1.1 s after the beginning, pg2 takes over 3 s after it."""
    stopping, gone = said("pg1", primary(state="stopping")), port(PortVerdict.REFUSED)
    film.show_more(1.1, "pg1", (stopping, said("pg2", replica())), key=key("pg1"), deeds=(DOWN_PG1,))
    film.show_more(1.12, "", (said("pg1", None, 0.0, gone), said("pg2", replica())), key=key("pg1"), ended=7, held=2)
    film.show_more(2.5, "", (said("pg1", None, 0.0, gone), said("pg2", replica())), key=key(None), held=5)
    both = (said("pg1", None, 0.0, gone), said("pg2", primary(2)))
    film.show_more(3.0, "", both, key=key("pg2"), deeds=(UP_PG2,), held=6, longest_wait_s=1.8)
    film.show_more(3.03, "pg2", both, key=key("pg2"), healthy="", released=6, longest_wait_s=1.9)
    film.show_more(3.2, "pg2", both, key=key("pg2"))
    return film.end(3.2 + SETTLED_S, "pg2", *both)


def test_a_primary_that_stays_leaves_no_receipt(film: Film) -> None:
    assert [film.show(at, "pg1") for at in range(1, 100)] == [None] * 99


def test_a_switchover_is_told_with_its_moments(film: Film) -> None:
    receipt = failed_over(film)
    assert (receipt.old, receipt.new, receipt.is_planned) == ("pg1", "pg2", True)
    assert (receipt.timeline_before, receipt.timeline_after) == (1, 2)
    assert (receipt.sessions_ended, receipt.held) == (7, 6)
    assert receipt.longest_wait_s == pytest.approx(1.9)
    assert receipt.gap_s == pytest.approx(3.02 - 1.1, abs=1e-6)
    assert receipt.blind_s == 0
    at = {(it.what, it.member): it.at_s - T0 for it in receipt.sightings}
    assert at == pytest.approx(
        {
            (Sight.LAST_GOOD, "pg1"): 0.1,
            (Sight.GAP_BEGAN, "pg1"): 1.1,
            (Sight.PORT_DEAD, "pg1"): 1.12,
            (Sight.LOCK_LOST, "pg1"): 2.5,
            (Sight.LOCK_WON, "pg2"): 3.0,
            (Sight.PROMOTED, "pg2"): 3.0,
            (Sight.SERVED, "pg2"): 3.02,
            (Sight.HEALTHY, "pg2"): 3.2,
        },
        abs=1e-3,
    )
    assert receipt.deeds == (DOWN_PG1, UP_PG2)
    assert receipt.reroute_s == pytest.approx(0.02, abs=1e-3)


def test_sessions_that_go_late_are_waited_for(film: Film) -> None:
    """For a while: who never goes does not keep the receipt."""
    said_both = (said("pg1", replica(2)), said("pg2", primary(2)))
    film.show_more(1.0, "pg2", said_both, left=3)
    assert film.show_more(1.1 + SETTLED_S, "pg2", said_both, ended=1, left=2) is None
    receipt = film.show_more(1.2 + SETTLED_S, "pg2", said_both, ended=2)
    assert receipt is not None
    assert receipt.sessions_ended == 3
    film.show_more(11.0, "pg1", (said("pg1", primary(3)), said("pg2", replica(3))), left=1)
    assert film.show_more(10.9 + UNHEALTHY_S, "pg1", left=1) is None
    assert film.show_more(11.0 + UNHEALTHY_S, "pg1", left=1) is not None


def test_a_promotion_was_between_the_question_that_found_it_and_its_answer(film: Film) -> None:
    """The answer took its time; the question before had found no primary."""
    film.show(1.0, "", said("pg2", replica()))
    slow = RestFact(answer=primary(2), age_s=0.05, took_s=0.04)  # asked at 2.95, answered at 2.99
    both = (said("pg1", None), MemberFacts(name="pg2", server="pg2", rest=slow))
    film.show(3.0, "", *both)
    film.show(3.02, "pg2", *both)
    receipt = film.end(3.02 + SETTLED_S, "pg2", *both)
    promoted_s = receipt.moment(Sight.PROMOTED)
    assert promoted_s is not None
    assert promoted_s - T0 == pytest.approx(2.95 + QUERIED * 0.04, abs=1e-3)


def test_a_promotion_is_no_later_than_the_first_answer_that_told_of_it(film: Film) -> None:
    """No cycle has seen that one, but the one after it."""
    film.show(1.0, "", said("pg2", replica()))
    second = RestFact(answer=primary(2), age_s=0.01, took_s=0.002, well_s=0.03)
    film.show(3.0, "pg2", MemberFacts(name="pg2", server="pg2", rest=second))
    receipt = film.end(3.0 + SETTLED_S, "pg2", said("pg2", primary(2)))
    promoted_s = receipt.moment(Sight.PROMOTED)
    assert promoted_s is not None
    assert promoted_s - T0 == pytest.approx(2.97, abs=1e-3)


def test_an_odd_answer_of_the_new_primary_is_no_second_promotion(film: Film) -> None:
    odd = said("pg2", primary(2, state="unknown"))
    film.show(1.0, "", said("pg2", replica()))
    film.show(3.0, "pg2", said("pg2", primary(2)))
    film.show(3.5, "pg2", odd)
    film.show(3.6, "pg2", said("pg2", primary(2)))
    receipt = film.end(3.0 + SETTLED_S, "pg2", said("pg2", primary(2)))
    assert receipt.moment(Sight.PROMOTED) == pytest.approx(T0 + 3.0, abs=1e-3)


def test_whoever_is_served_has_been_promoted(film: Film) -> None:
    """HAProxy's own check has found it, before its next answer to us."""
    film.show(1.0, "", said("pg2", replica()))
    film.show(3.0, "pg2", said("pg2", replica(), age_s=0.5))
    receipt = film.end(3.0 + SETTLED_S, "pg2", said("pg2", primary(2), age_s=0.1))
    assert receipt.moment(Sight.PROMOTED) == receipt.moment(Sight.SERVED) == pytest.approx(T0 + 3.0, abs=1e-3)


def test_who_was_out_though_all_was_well_has_not_been_promoted(film: Film) -> None:
    """Somebody's hand had it out. An odd answer before that, and one after it, have nothing to do with it."""
    well, odd = said("pg1", primary()), said("pg1", primary(state="unknown"))
    film.show(1.0, "pg1", odd)
    for at in range(2, 30):
        film.show(at, "pg1", well)
    film.show(30.0, "", well)
    film.show(32.0, "pg1", well)
    film.show(32.4, "pg1", odd)
    film.show(32.5, "pg1", well)
    receipt = film.end(32.0 + SETTLED_S, "pg1", well)
    assert receipt.moment(Sight.PROMOTED) is None
    assert receipt.reroute_s is None
    assert receipt.moment(Sight.LAST_GOOD) == pytest.approx(T0 + 30.0, abs=1e-3)
    assert (receipt.began_at_s, receipt.gap_s) == pytest.approx((T0 + 30.0, 2.0), abs=1e-3)


def test_a_clock_that_is_set_back_takes_nothing_but_the_moments_before_it(film: Film) -> None:
    film.show(1.0, "pg1", said("pg1", primary()), key=key("pg1"))
    for at in (-3600.0, -3599.0):
        assert film.show(at, "pg1", said("pg1", primary()), said("pg2", replica()), key=key("pg1")) is None
    stopping = said("pg1", primary(state="stopping"))
    film.show(-3598.0, "", stopping, said("pg2", replica()), key=key("pg1"))
    film.show(-3596.0, "pg2", stopping, said("pg2", primary(2)), key=key("pg2"))
    receipt = film.end(-3596.0 + SETTLED_S, "pg2", said("pg2", primary(2)))
    assert (receipt.old, receipt.new, receipt.is_planned, receipt.timeline_before) == ("pg1", "pg2", True, 1)
    assert receipt.moment(Sight.PROMOTED) == pytest.approx(T0 - 3596.0, abs=1e-3)
    assert receipt.moment(Sight.LOCK_WON) == pytest.approx(T0 - 3596.0, abs=1e-3)


def test_the_sightings_are_in_their_order(film: Film) -> None:
    receipt = failed_over(film)
    assert [it.at_s for it in receipt.sightings] == sorted(it.at_s for it in receipt.sightings)
    offsets = [moment.offset_s for moment in moments(receipt)]
    assert offsets == sorted(offsets)
    assert 0.0 in offsets


def test_its_sentence_says_what_it_came_to(film: Film) -> None:
    assert sentence(failed_over(film)) == (
        "pg1 -> pg2, planned, timeline 1 -> 2; nobody was served for 1920 ms; "
        "6 clients waited, the longest for 1900 ms; 7 sessions of the old primary ended"
    )


def test_a_crash_is_not_planned_though_patroni_starts_it_again_in_order(film: Film) -> None:
    film.show(1.0, "pg1", said("pg1", None, 0.0, port(PortVerdict.REFUSED)))
    film.show(1.1, "", said("pg1", None, 0.0, port(PortVerdict.REFUSED)))
    film.show(2.0, "", said("pg1", primary(state="stopped"), 0.0, port(PortVerdict.REFUSED)))
    film.show(3.0, "pg2", said("pg2", primary(2)))
    assert not film.end(3.0 + SETTLED_S, "pg2", said("pg2", primary(2))).is_planned


def test_a_primary_that_comes_back_after_a_crash_leaves_a_receipt(film: Film) -> None:
    film.show(1.0, "pg1", said("pg1", primary(state="starting"), 0.0, port(PortVerdict.REFUSED)))
    film.show(1.1, "", said("pg1", primary(state="starting"), 0.0, port(PortVerdict.REFUSED)))
    film.show(1.5, "pg1", said("pg1", primary(2), 0.0, port(PortVerdict.ANSWERS)))
    receipt = film.end(1.5 + SETTLED_S, "pg1", said("pg1", primary(2)))
    assert (receipt.old, receipt.new) == ("pg1", "pg1")
    assert receipt.gap_s == pytest.approx(0.4, abs=1e-3)
    assert receipt.moment(Sight.PORT_DEAD) == pytest.approx(T0 + 1.0, abs=1e-3)
    assert receipt.moment(Sight.LAST_GOOD) == pytest.approx(T0 + 0.1, abs=1e-3)
    assert receipt.moment(Sight.PROMOTED) == pytest.approx(T0 + 1.5, abs=1e-3)
    assert "pg1 came back" in sentence(receipt)


def test_one_odd_moment_is_no_change(film: Film) -> None:
    film.show(1.0, "", said("pg1", primary()))
    receipts = [film.show(1.2 + at, "pg1", said("pg1", primary())) for at in range(10)]
    assert receipts == [None] * 10


def test_a_second_claim_that_goes_again_is_no_change(film: Film) -> None:
    film.show(1.0, "pg1 pg2")
    assert [film.show(1.5 + at, "pg1") for at in range(10)] == [None] * 10


def test_one_that_is_lost_before_it_has_settled_leaves_a_receipt_of_its_own(film: Film) -> None:
    film.show(1.0, "")
    film.show(3.0, "pg2", said("pg2", primary(2)))
    first = film.end(3.5, "")
    film.show(5.0, "pg3", said("pg3", primary(3)))
    second = film.end(5.0 + SETTLED_S, "pg3", said("pg3", primary(3)))
    assert [(it.old, it.new) for it in (first, second)] == [("pg1", "pg2"), ("pg2", "pg3")]


def test_a_check_that_never_passes_keeps_no_receipt_for_ever(film: Film) -> None:
    film.show(1.0, "")
    film.show_more(2.0, "pg2", (said("pg2", primary(2)),), healthy="")
    assert film.show_more(2.0 + SETTLED_S, "pg2", healthy="") is None
    assert film.show_more(2.0 + UNHEALTHY_S, "pg2", healthy="") is not None


def test_an_agent_that_was_away_says_so(film: Film) -> None:
    film.show(60.0, "pg2", said("pg2", primary(2)))
    receipt = film.end(60.0 + SETTLED_S, "pg2", said("pg2", primary(2)))
    assert receipt.blind_s == pytest.approx(59.5)
    assert "did not look" in sentence(receipt)


def test_an_agent_that_begins_knows_from_its_history_who_was_primary(film: Film) -> None:
    kept = failed_over(film)
    late = Film(resume([kept], "demo", "postgres_primary"))
    late.show(1000.0, "pg3", said("pg3", primary(3)))
    receipt = late.end(1000.0 + SETTLED_S, "pg3", said("pg3", primary(3)))
    assert (receipt.old, receipt.new, receipt.timeline_before, receipt.timeline_after) == ("pg2", "pg3", 2, 3)
    assert receipt.blind_s > 900


def test_an_agent_that_begins_without_a_history_makes_nothing_up() -> None:
    assert resume([], "demo", "postgres_primary") == NEW
    film = Film(NEW)
    assert [film.show(at, "pg1", said("pg1", primary())) for at in range(10)] == [None] * 10


def test_another_service_has_a_history_of_its_own(film: Film) -> None:
    kept = failed_over(film)
    assert resume([kept], "demo", "other_primary").primary is None
