"""One `GET` of HTTP/1.0 to an address: a connection, a question, its answer, the end; without TLS.

Stands apart from `patroni_rest`, which owns what is asked and what becomes of the answer, for its cost: a third of that
of a whole HTTP library, and an agent does little else than to ask this. Whatever the other end does, a question ends
with an answer, an OSError (TimeoutError is one) or `NotHttpError`, and with its socket closed.
"""

import asyncio
import os
import re
import socket
from errno import EINPROGRESS
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

MOST_BYTES = 4 * 1024 * 1024
CHUNK_BYTES = 64 * 1024
DEFAULT_PORT = 80

Place = tuple[str, int]
"""An address literal and a port."""


class NotHttpError(ValueError):
    """What came is no answer, in words."""


class TooMuchError(NotHttpError):
    """The answer does not end."""


class UnreachedError(OSError):
    """There is no connection."""


class NoAnswerError(ConnectionError):
    """The other end closed the connection and said nothing."""


@lru_cache(maxsize=4096)
def place_of(url: str) -> tuple[Place, bytes] | None:
    """Where to ask for this URL, and with which first lines; None where it takes more than this: TLS, a name to be
    looked up, a user in the URL, characters to be quoted."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or DEFAULT_PORT
        ip_address(host)
    except ValueError:
        return None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    is_plain = re.fullmatch(r"[!-~]+", url) is not None and "@" not in parts.netloc and "%" not in host
    if parts.scheme != "http" or parts.fragment or not is_plain:
        return None
    return (host, port), f"GET {target} HTTP/1.0\r\nHost: {parts.netloc}\r\nAccept: */*\r\n".encode()


async def get(place: Place, first_lines: bytes, headers: bytes, *, timeout_s: float) -> tuple[int, bytes]:
    """Status and body. `headers`: more of them, each with its end of line."""
    question = _Question(place, first_lines + headers + b"\r\n", timeout_s)
    try:
        return parse(await question.answer)
    finally:
        question.close()


class _Question:
    """Driven by the event loop alone, without a task of its own; `answer` is all that has come until the end."""

    def __init__(self, place: Place, request: bytes, timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[bytes] = self._loop.create_future()
        self._request = request
        self._got = bytearray()
        self._socket = socket.socket(socket.AF_INET6 if ":" in place[0] else socket.AF_INET, socket.SOCK_STREAM)
        self._descriptor = self._socket.fileno()
        self._deadline = self._loop.call_later(timeout_s, self._end, TimeoutError())
        self._socket.setblocking(False)
        problem = self._socket.connect_ex(place)
        if problem in (0, EINPROGRESS):
            self._loop.add_writer(self._descriptor, self._ask)
        else:
            self._end(_unreached(problem))

    def close(self) -> None:
        """Nothing of it is left; may be done again."""
        if self._descriptor < 0:
            return
        self._deadline.cancel()
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)
        self._socket.close()
        self._descriptor = -1

    def _ask(self) -> None:
        problem = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if problem:
            self._end(_unreached(problem))
            return
        try:
            sent = self._socket.send(self._request)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        self._request = self._request[sent:]
        if not self._request:
            self._loop.remove_writer(self._descriptor)
            self._loop.add_reader(self._descriptor, self._read)

    def _read(self) -> None:
        try:
            chunk = self._socket.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        self._got += chunk
        if len(self._got) > MOST_BYTES:
            self._end(TooMuchError(f"more than {MOST_BYTES} bytes"))
        elif not chunk:
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        self.close()
        if self.answer.done():
            return
        if error is None:
            self.answer.set_result(bytes(self._got))
        else:
            self.answer.set_exception(error)


def parse(answer: bytes) -> tuple[int, bytes]:
    """Status and body of a whole answer.

    >>> parse(b"HTTP/1.0 503 Service Unavailable\\r\\nServer: x\\r\\n\\r\\n{}")
    (503, b'{}')
    """
    if not answer:
        raise NoAnswerError
    head, end, body = answer.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: |\r\n|$)", head)
    if status is None or not end:
        raise NotHttpError("it is no HTTP")
    length = re.search(rb"(?i)\r\ncontent-length:[ \t]*([0-9]{1,12})[ \t]*(?:\r\n|$)", head)
    if length is not None:
        if len(body) < int(length[1]):
            raise NotHttpError("it ends too early")
        body = body[: int(length[1])]
    if re.search(rb"(?i)\r\ntransfer-encoding:", head):
        raise NotHttpError("it comes in pieces, which a question of HTTP/1.0 forbids")
    return int(status[1]), body


def _unreached(number: int) -> UnreachedError:
    return UnreachedError(number, os.strerror(number).lower())
