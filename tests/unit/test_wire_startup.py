"""PostgreSQL's first words, and what they say of the server."""

import pytest

from trunkline.model.facts import PortVerdict
from trunkline.wire.startup import startup_packet, verdict

SHUTTING_DOWN = b"E\0\0\0\x5cSFATAL\0VFATAL\0C57P03\0Mthe database system is shutting down\0\0"
NO_ROLE = b'E\0\0\0\x5cSFATAL\0VFATAL\0C28000\0Mrole "trunkline" does not exist\0\0'
TOO_MANY = b"E\0\0\0\x5cSFATAL\0VFATAL\0C53300\0Msorry, too many clients already\0\0"
PASSWORD = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"


@pytest.mark.parametrize("answer", [NO_ROLE, TOO_MANY, PASSWORD, b"x"])
def test_any_answer_is_life(answer: bytes) -> None:
    assert verdict(answer) is PortVerdict.ANSWERS


@pytest.mark.parametrize("answer", [SHUTTING_DOWN, b""])
def test_but_one_that_takes_nobody(answer: bytes) -> None:
    assert verdict(answer) is PortVerdict.CLOSING


def test_the_packet_says_its_length() -> None:
    packet = startup_packet()
    assert int.from_bytes(packet[:4], "big") == len(packet)
    assert packet[4:8] == b"\0\3\0\0"
    assert packet.endswith(b"\0\0")
