"""A Patroni REST API without a Patroni: says what it is told to say, over real HTTP.

Owns the bad manners of a real one (it refuses, it accepts and stays silent, it asks for a password, it answers
HTTP/1.0 without keep-alive); what a whole cluster says is `trunkline.testing.fake_cluster`. Speaks HTTP by itself, in
as few steps as there are: a process of the benchmark is a thousand of these.
"""

import asyncio
import base64
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, unquote

MOST_WAITING = 100
MOST_REQUEST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status and a body, as recorded or as made up; `location`: where a redirection leads."""

    body: bytes
    status: int = 200
    location: str | None = None

    @classmethod
    def of(cls, document: object, *, status: int = 200) -> Self:
        """A document in the spacing of Patroni, on which HAProxy's check relies."""
        return cls(body=json.dumps(document).encode(), status=status)


class FakePatroni:
    """One member's API: `async with FakePatroni({"/cluster": Answer.of({...})}) as patroni` listens at `patroni.url`.

    `answers` may be changed at any time. A path without an answer of its own has the answer of `missing`.
    `requests` are the paths that were asked for, with their queries.
    """

    def __init__(
        self,
        answers: Mapping[str, Answer] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
    ) -> None:
        self.answers = dict(answers or {})
        self.missing = Answer(body=b"{}", status=503)
        self.requests: list[str] = []
        self.host, self.port = host, port
        self._tls, self._login = tls, login
        self._speaks = True
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()

    def __repr__(self) -> str:
        return f"FakePatroni({self.url!r})"

    @property
    def url(self) -> str:
        """The base URL; its port is known once it has listened."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()

    async def listen(self) -> None:
        """Accept connections, on the same port as before."""
        if self._server is not None:
            return
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self._open, self._reply),
            self.host,
            self.port,
            ssl=self._tls,
            reuse_address=True,
            backlog=MOST_WAITING,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Refuse connections, as the port of a host does where no Patroni runs; open ones are closed."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            for connection in list(self._open):
                connection.close()

    def fall_silent(self) -> None:
        """Accept connections and answer none, as a frozen Patroni does; `speak` answers them all."""
        self._speaks = False

    def speak(self) -> None:
        """Answer again, those who still wait first."""
        self._speaks = True
        for connection in list(self._open):
            connection.answer_late()

    def answer(self, path: str, query: Mapping[str, str]) -> Answer:
        """What to say to `GET path`."""
        return self.answers.get(path, self.missing)

    def _reply(self, request: bytes, *, is_late: bool) -> bytes | None:
        """The whole answer to a whole request; None while nothing is said."""
        head = request.decode("latin-1").split("\r\n")
        target = [*head[0].split(" "), "/"][1]
        if not is_late:
            self.requests.append(target)
        if not self._speaks:
            return None
        path, _, query = target.partition("?")
        is_welcome = self._is_welcome(head[1:])
        answer = self.answer(unquote(path), dict(parse_qsl(query))) if is_welcome else _LOGIN_FIRST
        return _as_bytes(answer, has_body=not head[0].startswith("HEAD "))

    def _is_welcome(self, headers: list[str]) -> bool:
        if self._login is None:
            return True
        secret = base64.b64encode(":".join(self._login).encode()).decode()
        told = (line.partition(":") for line in headers)
        return any(name.lower() == "authorization" and value.strip() == f"Basic {secret}" for name, _, value in told)


class _Connection(asyncio.Protocol):
    """One request, one answer, and its end. `reply` may have nothing to say yet."""

    def __init__(self, neighbours: "set[_Connection]", reply: Callable[..., bytes | None]) -> None:
        self._neighbours, self._reply = neighbours, reply
        self._request = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._neighbours.add(self)

    def data_received(self, data: bytes) -> None:
        is_known = self.is_asked
        self._request += data
        if not is_known and self.is_asked:
            self._say(self._reply(self._request, is_late=False))
        elif not self._request[:1].isalpha() or len(self._request) > MOST_REQUEST_BYTES:  # TLS, where there is none
            self._say(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self._neighbours.discard(self)

    @property
    def is_asked(self) -> bool:
        """Whether the request is complete; none that is asked here has a body."""
        return b"\r\n\r\n" in self._request

    def answer_late(self) -> None:
        """It speaks again."""
        if self.is_asked:
            self._say(self._reply(self._request, is_late=True))

    def close(self) -> None:
        """Without another word."""
        if self._transport is not None:
            self._transport.close()

    def _say(self, answer: bytes | None) -> None:
        if answer is not None and self._transport is not None:
            self._transport.write(answer)
            self._transport.close()


def _as_bytes(answer: Answer, *, has_body: bool) -> bytes:
    phrase = HTTPStatus(answer.status).phrase if answer.status in HTTPStatus._value2member_map_ else ""
    location = f"Location: {answer.location}\r\n" if answer.location else ""
    login = 'WWW-Authenticate: Basic realm="Patroni"\r\n' if answer is _LOGIN_FIRST else ""
    head = f"HTTP/1.0 {answer.status} {phrase}\r\nContent-Type: application/json\r\n{location}{login}\r\n"
    return head.encode("latin-1") + (answer.body if has_body else b"")


_LOGIN_FIRST = Answer(body=b"no auth header received", status=401)
