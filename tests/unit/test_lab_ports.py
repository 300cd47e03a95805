"""Taken ports are noticed before anything starts."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from trunkline.errors import LabError
from trunkline.lab.layout import Layout, plan_layout
from trunkline.lab.ports import free_offset, is_free, require_free, taken

# Far from what people use and from the ports that the kernel hands out.
OFFSET = 20_000


@pytest.fixture
def layout() -> Layout:
    return plan_layout(Path("/tmp/demo"), port_offset=free_offset(plan_layout(Path("/tmp/demo"), port_offset=OFFSET)))


@pytest.fixture
def occupied(layout: Layout) -> Iterator[tuple[str, int]]:
    address = layout.members[1].host, layout.members[1].port
    with socket.create_server(address):
        yield address


def test_a_listener_takes_its_own_address_only(layout: Layout, occupied: tuple[str, int]) -> None:
    assert not is_free(*occupied)
    assert taken(layout.all_ports) == [occupied]


def test_the_message_names_the_port_and_a_way_out(layout: Layout, occupied: tuple[str, int]) -> None:
    with pytest.raises(LabError) as refusal:
        require_free(layout)
    assert refusal.value.message == f"port {occupied[0]}:{occupied[1]} is taken"
    assert f"--port-offset {free_offset(layout)}" in refusal.value.hint


def test_a_port_is_free_again_at_once(layout: Layout) -> None:
    address = layout.members[0].host, layout.members[0].port
    with socket.create_server(address) as server, socket.create_connection(address):
        server.accept()[0].close()
    require_free(layout)


def test_the_offset_that_is_proposed_is_free(layout: Layout, occupied: tuple[str, int]) -> None:
    proposed = free_offset(layout)
    assert proposed > layout.port_offset
    require_free(plan_layout(layout.root, port_offset=proposed))
