"""systemd's journal, in its own words: one datagram an entry, with fields (the native protocol of journald)."""

import socket
import struct
from collections.abc import Mapping

SOCKET = "/run/systemd/journal/socket"


class Journal:
    """`address`: where journald listens."""

    def __init__(self, address: str = SOCKET) -> None:
        self._address = address
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def send(self, fields: Mapping[str, str]) -> None:
        """One entry; names are upper case letters, digits and _. Raises OSError where it does not arrive."""
        self._channel.sendto(b"".join(_field(name, value) for name, value in fields.items()), self._address)


def _field(name: str, value: str) -> bytes:
    text = value.encode(errors="backslashreplace")
    if b"\n" not in text:
        return name.encode() + b"=" + text + b"\n"
    return name.encode() + b"\n" + struct.pack("<Q", len(text)) + text + b"\n"
