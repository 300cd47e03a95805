"""A Patroni REST API without a Patroni: says what it is told to say, over real HTTP.

Owns the bad manners of a real one (it refuses, it accepts and stays silent, it asks for a password, it answers
HTTP/1.0 style without keep-alive); what a whole cluster says is `trunkline.testing.fake_cluster`.
"""

import asyncio
import base64
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiohttp import web

GOODBYE_S = 0.1


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
        self._speaks = asyncio.Event()
        self._speaks.set()
        self._runner: web.ServerRunner | None = None

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
        if self._runner is not None:
            return
        self._runner = web.ServerRunner(web.Server(self._respond), shutdown_timeout=GOODBYE_S)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port, ssl_context=self._tls, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def refuse(self) -> None:
        """Refuse connections, as the port of a host does where no Patroni runs; open ones are closed."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def fall_silent(self) -> None:
        """Accept connections and answer none, as a frozen Patroni does; `speak` answers them all."""
        self._speaks.clear()

    def speak(self) -> None:
        """Answer again, those who still wait first."""
        self._speaks.set()

    def answer(self, path: str, query: Mapping[str, str]) -> Answer:
        """What to say to `GET path`."""
        return self.answers.get(path, self.missing)

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request.path_qs)
        await self._speaks.wait()
        answer = self.answer(request.path, request.query) if self._is_welcome(request) else _LOGIN_FIRST
        headers = {"Location": answer.location} if answer.location else {}
        if answer is _LOGIN_FIRST:
            headers["WWW-Authenticate"] = 'Basic realm="Patroni"'
        response = web.Response(
            status=answer.status, body=answer.body, content_type="application/json", headers=headers
        )
        response.force_close()
        return response

    def _is_welcome(self, request: web.BaseRequest) -> bool:
        if self._login is None:
            return True
        secret = base64.b64encode(":".join(self._login).encode()).decode()
        return request.headers.get("Authorization") == f"Basic {secret}"


_LOGIN_FIRST = Answer(body=b"no auth header received", status=401)
