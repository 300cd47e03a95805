"""One `GET` of HTTP/1.0 to an address: a connection, a question, its answer, the end; without TLS.

Stands apart from `patroni_rest`, which owns what is asked and what becomes of the answer, for its cost: a third of that
of a whole HTTP library, and an agent does little else than to ask this. Whatever the other end does, a question ends
with an answer, an OSError (TimeoutError is one) or `NotHttpError`, and with its socket closed.
"""

import asyncio
import heapq
import math
import os
import re
import select
import socket
from errno import EINPROGRESS
from functools import lru_cache
from ipaddress import ip_address
from typing import Self
from urllib.parse import urlsplit

MOST_BYTES = 4 * 1024 * 1024
CHUNK_BYTES = 64 * 1024
DEFAULT_PORT = 80
EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET
CROWD, CROWDED_S = 800, 0.005
"""With so many questions in about a second, they are looked after so often, and not each by itself."""


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


class _Question:
    """One connection. `answer` is all that has come until the end."""

    __slots__ = ("answer", "descriptor", "got", "place", "request", "socket")

    def __init__(self, answer: "asyncio.Future[bytes]", place: Place, request: bytes) -> None:
        self.answer, self.place, self.request = answer, place, request
        self.got = b""
        family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.descriptor = self.socket.fileno()

    def end(self, error: Exception | None) -> None:
        """It has come to this."""
        if self.answer.done():
            return
        if error is None:
            self.answer.set_result(self.got)
        else:
            self.answer.set_exception(error)


class Questions:
    """Those under way in one event loop, shared by all who `join` until they `leave`.

    They have a poll set of their own, which is one descriptor to the loop: what asyncio does for a descriptor that is
    watched twice and closed is as much work as the question itself.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._users = 0
        self._open: dict[int, _Question] = {}
        self._deadlines: list[tuple[float, int, _Question]] = []
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._poll = select.epoll()
        self._later: asyncio.TimerHandle | None = None
        loop.add_reader(self._poll.fileno(), self._go_on)

    @classmethod
    def join(cls) -> Self:
        """Those of the loop that runs."""
        loop = asyncio.get_running_loop()
        known = _OF_LOOPS.get(loop)
        questions = known if isinstance(known, cls) else cls(loop)
        _OF_LOOPS[loop] = questions
        questions._users += 1
        return questions

    def leave(self) -> None:
        """The last one leaves nothing behind; whoever still waits has no answer."""
        self._users -= 1
        if self._users:
            return
        del _OF_LOOPS[self._loop]
        for question in self._open.values():
            question.end(NoAnswerError())
        for timer in (self._timer, self._later):
            if timer is not None:
                timer.cancel()
        self._loop.remove_reader(self._poll.fileno())
        self._poll.close()

    async def get(self, place: Place, first_lines: bytes, headers: bytes, *, timeout_s: float) -> tuple[int, bytes]:
        """Status and body. `headers`: more of them, each with its end of line."""
        question = _Question(self._loop.create_future(), place, first_lines + headers + b"\r\n")
        try:
            self._begin(question, self._loop.time() + timeout_s)
            return parse(await question.answer)
        finally:
            self._forget(question)

    def _begin(self, question: _Question, deadline: float) -> None:
        """Connect; the rest follows by itself."""
        problem = question.socket.connect_ex(question.place)
        if problem not in (0, EINPROGRESS):
            question.end(_unreached(problem))
            return
        self._open[question.descriptor] = question
        self._poll.register(question.descriptor, EVENTS)
        self._count += 1
        heapq.heappush(self._deadlines, (deadline, self._count, question))
        if self._timer is None or deadline < self._timer.when():
            self._set_timer()

    def _forget(self, question: _Question) -> None:
        """Nothing of it is left; may be done again."""
        self._open.pop(question.descriptor, None)
        question.socket.close()  # which takes it out of the poll set
        question.descriptor, question.got = -1, b""  # the heap keeps it until its deadline

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadlines[0][0], self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._deadlines and (self._deadlines[0][0] <= now or self._deadlines[0][2].answer.done()):
            heapq.heappop(self._deadlines)[2].end(TimeoutError())
        if self._deadlines:
            self._set_timer()

    def _go_on(self) -> None:
        for descriptor, _ in self._poll.poll(0):
            question = self._open.get(descriptor)
            if question is None or question.answer.done():
                continue
            if question.request:
                _ask(question)
            else:
                _read(question)
        self._choose_when()

    def _choose_when(self) -> None:
        """At once when there is news; of hundreds of questions together, as one waking for all that have news."""
        is_crowded, was_crowded = len(self._deadlines) >= CROWD, self._later is not None
        if is_crowded and not was_crowded:
            self._loop.remove_reader(self._poll.fileno())
        elif was_crowded and not is_crowded:
            self._loop.add_reader(self._poll.fileno(), self._go_on)
        moment = math.ceil(self._loop.time() / CROWDED_S) * CROWDED_S
        self._later = self._loop.call_at(moment, self._go_on) if is_crowded else None


def _ask(question: _Question) -> None:
    """It is connected, or never will be, which `send` says as well."""
    try:
        sent = question.socket.send(question.request)
    except BlockingIOError:
        return
    except OSError as error:
        question.end(_unreached(error.errno or 0))
        return
    question.request = question.request[sent:]


def _read(question: _Question) -> None:
    """All that is there: nobody tells of it again."""
    try:
        while chunk := question.socket.recv(CHUNK_BYTES):
            question.got += chunk
            if len(question.got) > MOST_BYTES:
                question.end(TooMuchError(f"more than {MOST_BYTES} bytes"))
                return
        question.end(None)
    except BlockingIOError:
        return
    except OSError as error:
        question.end(error)


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


_OF_LOOPS: dict[asyncio.AbstractEventLoop, Questions] = {}
