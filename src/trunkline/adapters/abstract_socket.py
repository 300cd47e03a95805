"""Abstract sockets as HAProxy knows them (`abns@NAME`): names without a file, of one network namespace of this host."""

import socket

from trunkline.errors import HAProxyError

ADDRESS_BYTES = 107
"""HAProxy sends to the whole of the address, padded with zeros."""


def address(name: str) -> bytes:
    """What bind(2) and connect(2) take for it."""
    return b"\0" + name.encode().ljust(ADDRESS_BYTES, b"\0")


def bind(name: str, kind: socket.SocketKind, *, taken_hint: str) -> socket.socket:
    """A socket of that name, which does not block. Raises HAProxyError where another process has it."""
    bound = unnamed(kind)
    try:
        bound.bind(address(name))
    except OSError as error:
        bound.close()
        raise HAProxyError(f"the abstract socket {name} is taken: {error.strerror or error}", hint=taken_hint) from None
    return bound


def unnamed(kind: socket.SocketKind) -> socket.socket:
    """A socket that no child of ours gets, and that does not block."""
    return socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
