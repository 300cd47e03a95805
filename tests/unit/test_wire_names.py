"""Names of members in HAProxy: legible where possible, never ambiguous, always leading back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.wire.names import MAX_NAME_BYTES, to_haproxy, to_patroni

any_text = st.text(max_size=40, alphabet=st.characters()) | st.text(max_size=12, alphabet=":/ahold0123456789ABCDEF")


@pytest.mark.parametrize(
    ("member", "name"),
    [
        ("pg1", "pg1"),
        ("db-1.example.org", "db-1.example.org"),
        ("10.0.0.11:5432", "10.0.0.11:5432"),
        ("hold", ":hold"),
        ("BACKEND", ":BACKEND"),
        (":pg", "::3Apg"),
        ("pg/1", ":pg:2F1"),
        ("größe", ":gr:C3:B6:C3:9Fe"),
        ("a b\n", ":a:20b:0A"),
        ("", ":"),
    ],
)
def test_what_haproxy_takes_stays_and_the_rest_is_escaped(member: str, name: str) -> None:
    assert to_haproxy(member) == name
    assert to_patroni(name) == member


@given(any_text)
def test_every_name_leads_back(member: str) -> None:
    assert to_patroni(to_haproxy(member)) == member


@given(any_text)
def test_haproxy_takes_every_name_and_means_a_server_by_it(member: str) -> None:
    name = to_haproxy(member)
    assert re.fullmatch(r"[A-Za-z0-9_.:-]+", name)
    assert name not in ("hold", "FRONTEND", "BACKEND")


@given(any_text, any_text)
def test_two_members_never_share_a_name(one: str, other: str) -> None:
    assert (to_haproxy(one) == to_haproxy(other)) == (one == other)


@given(st.text(max_size=20, alphabet=":0123456789ABCDEFabcxyz"))
def test_a_server_that_somebody_else_named_keeps_its_name(name: str) -> None:
    assert to_haproxy(to_patroni(name)) == name or to_patroni(name) == name


def test_the_longest_name_fits_into_a_line_of_the_state_file() -> None:
    longest = to_haproxy("/" * MAX_NAME_BYTES)
    assert len(f"1 {longest}_postgres_sync_replicas 1 {longest} " + "0" * 200) < 2000
