"""The first bytes of PostgreSQL's protocol: a startup packet, and what the answer to it says of the server.

Source: PostgreSQL's manual, "Message Formats" and "Start-up" (protocol 3.0).
"""

import struct

from trunkline.model.facts import PortVerdict

PROTOCOL_3_0 = 196608
SSL_REQUEST = struct.pack(">II", 8, 80877103)
"""What a client may say before that. The answer is one byte, and nothing is logged of whoever leaves then."""

CANNOT_CONNECT_NOW = b"C57P03\0"
USER, DATABASE = "trunkline", "postgres"


def startup_packet(user: str = USER, database: str = DATABASE) -> bytes:
    """What a client says first. The user need not exist: being asked for a password is answer enough."""
    pairs = (("user", user), ("database", database), ("application_name", "trunkline"))
    words = b"".join(f"{name}\0{value}\0".encode() for name, value in pairs) + b"\0"
    return struct.pack(">II", len(words) + 8, PROTOCOL_3_0) + words


def verdict(answer: bytes) -> PortVerdict:
    """What the first part of an answer says: an error that is no 57P03 comes from a server that takes sessions."""
    if not answer:
        return PortVerdict.CLOSING
    if answer[:1] == b"E" and CANNOT_CONNECT_NOW in answer:
        return PortVerdict.CLOSING
    return PortVerdict.ANSWERS
