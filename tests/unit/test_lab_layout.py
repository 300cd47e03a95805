"""Where the parts of a lab are."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import LabError, UsageError
from trunkline.lab.layout import MAX_NODES, MAX_PORT_OFFSET, plan_layout

ROOT = Path("/tmp/demo")


def test_members_sit_on_addresses_of_their_own_with_the_same_ports_as_real_hosts_do() -> None:
    first, second, third = plan_layout(ROOT).members
    assert (first.host, second.host, third.host) == ("127.0.0.11", "127.0.0.12", "127.0.0.13")
    assert {(place.port, place.api_port) for place in (first, second, third)} == {(5432, 8008)}


@given(nodes=st.integers(1, MAX_NODES), offset=st.integers(0, MAX_PORT_OFFSET))
def test_no_two_parts_share_an_address_and_every_port_is_one(nodes: int, offset: int) -> None:
    ports = plan_layout(ROOT, node_count=nodes, port_offset=offset).all_ports
    assert len(set(ports)) == len(ports) == 3 + 2 + 2 * nodes
    assert all(0 < port < 65_536 for _, port in ports)


@given(offset=st.integers(1, MAX_PORT_OFFSET))
def test_the_offset_moves_every_port(offset: int) -> None:
    usual, moved = plan_layout(ROOT).all_ports, plan_layout(ROOT, port_offset=offset).all_ports
    assert [(host, port + offset) for host, port in usual] == list(moved)


@pytest.mark.parametrize("nodes", [0, -1, MAX_NODES + 1])
def test_a_size_that_cannot_be_is_refused(nodes: int) -> None:
    with pytest.raises(UsageError, match="nodes"):
        plan_layout(ROOT, node_count=nodes)


@pytest.mark.parametrize("offset", [-1, MAX_PORT_OFFSET + 1])
def test_an_offset_that_cannot_be_is_refused(offset: int) -> None:
    with pytest.raises(UsageError, match="offset"):
        plan_layout(ROOT, port_offset=offset)


def test_a_directory_too_deep_for_unix_sockets_is_refused_by_as_much_as_it_is_too_long() -> None:
    longest_possible = Path("/" + "d" * 73)
    assert plan_layout(longest_possible).root == longest_possible
    with pytest.raises(LabError, match="1 bytes too long") as refusal:
        plan_layout(Path("/" + "d" * 74))
    assert "--dir" in refusal.value.hint


@pytest.mark.parametrize("name", ["John Doe", "it's", "a#b", "c$d", "back\\slash"])
def test_a_directory_whose_name_haproxy_would_misread_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="HAProxy would misread it"):
        plan_layout(Path("/home") / name)


def test_an_unknown_member_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(UsageError) as refusal:
        plan_layout(ROOT).member("pg7")
    assert refusal.value.hint == "its members are pg1, pg2, pg3"
