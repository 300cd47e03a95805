"""Who the members are: rules one by one, and what no answer may ever do."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.agent.discovery import (
    FORGET_AFTER_S,
    Known,
    choose,
    heard_scope,
    judge_scope,
    key,
    merged,
    names_in,
    reachable_url,
    resolved,
    unresolved,
    with_addresses,
)
from trunkline.errors import PatroniError, WrongScopeError
from trunkline.model.cluster import ClusterView, Member, Role

SILENT = PatroniError("no answer")


def member(name: str, host: str = "", role: Role = Role.REPLICA, scheme: str = "http") -> Member:
    at = host or f"10.0.0.{ord(name[-1]) - ord('0')}"
    return Member(name=name, host=at, port=5432, api_url=f"{scheme}://{at}:8008/patroni", role=role)


def view(*members: Member, scope: str = "demo") -> ClusterView:
    return ClusterView(scope=scope, members=members)


def url(name: str) -> str:
    return key(member(name).api_url)


PRIMARY = member("pg1", role=Role.PRIMARY)
THREE = view(PRIMARY, member("pg2"), member("pg3"))


def names(known: Known) -> list[str]:
    return [one.name for one in known.view.members]


class TestScope:
    def test_another_than_expected_is_refused_by_name(self) -> None:
        with pytest.raises(WrongScopeError, match=r"10\.0\.0\.2:8008 belongs to the cluster 'other', not to 'demo'"):
            judge_scope({url("pg1"): THREE, url("pg2"): replace(THREE, scope="other")}, "demo")

    def test_two_that_disagree_are_both_named(self) -> None:
        with pytest.raises(WrongScopeError) as caught:
            judge_scope({url("pg1"): THREE, url("pg2"): replace(THREE, scope="other")}, None)
        assert all(word in caught.value.message for word in (url("pg1"), url("pg2"), "'demo'", "'other'"))

    def test_silence_is_no_disagreement(self) -> None:
        judge_scope({url("pg1"): SILENT, url("pg2"): THREE}, "demo")
        judge_scope({url("pg1"): SILENT}, None)

    def test_it_is_heard_from_listed_apis_alone(self) -> None:
        assert heard_scope({url("pg1"): THREE, url("pg2"): replace(THREE, scope="other")}, [url("pg1")]) == "demo"
        assert heard_scope({url("pg1"): THREE}, [url("pg2")]) is None


class TestChoice:
    def test_the_leader_is_believed_against_a_majority(self) -> None:
        stale = view(PRIMARY, member("pg2"))
        answers = {url("pg1"): THREE, url("pg2"): stale, url("pg3"): stale}
        assert choose(answers, None) == (url("pg1"), THREE)

    def test_a_former_leader_is_believed_by_nobody_else(self) -> None:
        now = view(replace(PRIMARY, role=Role.REPLICA), replace(member("pg2"), role=Role.PRIMARY), member("pg3"))
        answers = {url("pg1"): THREE, url("pg2"): now, url("pg3"): now}
        assert choose(answers, None) == (url("pg2"), now)

    def test_without_a_leader_most_are_believed(self) -> None:
        most, one = view(member("pg2"), member("pg3")), view(member("pg3"))
        answers = {url("pg2"): one, url("pg3"): most, url("pg1"): most}
        chosen = choose(answers, None)
        assert chosen is not None
        assert chosen[1] == most

    def test_no_members_and_another_scope_are_no_answers(self) -> None:
        assert (
            choose({url("pg1"): view(), url("pg2"): replace(THREE, scope="other"), url("pg3"): SILENT}, "demo") is None
        )


class TestMerging:
    def test_a_member_that_is_listed_no_more_stays_for_a_while(self) -> None:
        two = view(PRIMARY, member("pg2"))
        known = merged(Known(view=THREE), two, {}, now_s=100)
        assert names(known) == ["pg1", "pg2", "pg3"]
        assert names(merged(known, two, {}, now_s=100 + FORGET_AFTER_S - 1)) == ["pg1", "pg2", "pg3"]
        assert names(merged(known, two, {}, now_s=100 + FORGET_AFTER_S)) == ["pg1", "pg2"]

    def test_one_that_returns_is_as_new(self) -> None:
        known = merged(Known(view=THREE), view(PRIMARY, member("pg2")), {}, now_s=100)
        assert merged(known, THREE, {}, now_s=200) == Known(view=THREE)

    def test_one_whose_address_serves_another_cluster_goes_at_once(self) -> None:
        answers = {url("pg3"): replace(THREE, scope="other")}
        assert names(merged(Known(view=THREE), view(PRIMARY, member("pg2")), answers, now_s=0)) == ["pg1", "pg2"]

    def test_one_whose_address_another_member_has_goes_at_once(self) -> None:
        listed = view(PRIMARY, member("pg2"), member("pg4", host="10.0.0.3"))
        assert names(merged(Known(view=THREE), listed, {}, now_s=0)) == ["pg1", "pg2", "pg4"]

    def test_another_cluster_shares_nothing_with_this_one(self) -> None:
        other = view(member("pg9"), scope="other")
        assert merged(Known(view=THREE, addresses={"a": "b"}), other, {}, now_s=0) == Known(view=other)

    @given(st.lists(st.tuples(st.sets(st.sampled_from("12345"), min_size=1), st.floats(0, 400)), max_size=12))
    def test_whoever_is_listed_is_known_and_nobody_is_kept_too_long(
        self, history: list[tuple[set[str], float]]
    ) -> None:
        known, now_s, seen = None, 0.0, dict[str, float]()
        for listed, pause_s in history:
            now_s += pause_s
            known = merged(known, view(*(member(f"pg{it}") for it in sorted(listed))), {}, now_s=now_s)
            assert names(known) == sorted(names(known))
            assert {f"pg{it}" for it in listed} <= set(names(known))
            for gone in known.departed:
                assert now_s - known.departed[gone] < FORGET_AFTER_S
                assert known.departed[gone] >= seen[gone]
            seen |= {f"pg{it}": now_s for it in listed}


class TestNames:
    KNOWN = Known(view=view(member("pg1", host="one.example"), member("pg2")))

    def test_only_names_are_asked_for(self) -> None:
        assert names_in(self.KNOWN.view) == ("one.example",)

    def test_a_name_becomes_an_address_everywhere(self) -> None:
        known = with_addresses(self.KNOWN, {"one.example": ("fd00::1", "10.9.9.9")})
        first = resolved(known).members[0]
        assert (first.host, first.api_url) == ("fd00::1", "http://[fd00::1]:8008/patroni")

    def test_a_record_that_is_gone_keeps_the_last_address(self) -> None:
        known = with_addresses(self.KNOWN, {"one.example": ("10.9.9.9",)})
        assert with_addresses(known, {"one.example": ()}) == known
        assert with_addresses(known, {}) == known

    def test_an_address_that_still_holds_is_kept_whatever_the_order(self) -> None:
        known = with_addresses(self.KNOWN, {"one.example": ("10.9.9.9",)})
        assert with_addresses(known, {"one.example": ("10.9.9.8", "10.9.9.9")}) == known
        assert with_addresses(known, {"one.example": ("10.9.9.8",)}).addresses == {"one.example": "10.9.9.8"}

    def test_one_that_never_led_anywhere_is_left_out_and_named(self) -> None:
        known = with_addresses(self.KNOWN, {"one.example": ()})
        assert [one.name for one in resolved(known).members] == ["pg2"]
        assert unresolved(known) == ("pg1",)

    def test_tls_is_asked_by_name_and_anything_else_by_address(self) -> None:
        addresses = {"one.example": "10.9.9.9"}
        assert reachable_url("http://one.example:8008", addresses) == "http://10.9.9.9:8008"
        assert reachable_url("https://one.example:8008", addresses) == "https://one.example:8008"
