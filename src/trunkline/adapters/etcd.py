"""etcd's own v3 API over HTTP (its JSON gateway): one key read, its lease asked for, its changes streamed.

Reads alone, so a user who may read the cluster's keys is enough. Which etcd is asked: the one that answered last, else
the next of them. What the answers mean is `trunkline.wire.etcd`; everything that can go wrong is a `StoreError`.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector

from trunkline.adapters.tls import client_context, words
from trunkline.config.settings import EtcdSettings
from trunkline.errors import StoreError
from trunkline.wire.etcd import (
    Reading,
    WatchNews,
    key_question,
    lease_question,
    login,
    parse_lease_left,
    parse_news,
    parse_reading,
    parse_refusal,
    parse_token,
    watch_question,
)

MOST_BYTES = 1024 * 1024
UNAUTHORIZED = (401,)
CONNECT_TIMEOUT_S = 2.0


class EtcdClient:
    """Use it as `async with EtcdClient(settings.dcs.etcd) as etcd`; `timeout_s` bounds each question."""

    def __init__(self, settings: EtcdSettings, *, timeout_s: float) -> None:
        self._settings = settings
        self._timeout = ClientTimeout(total=timeout_s)
        self._session: ClientSession | None = None
        self._token = ""
        self._first = 0

    async def __aenter__(self) -> Self:
        tls = client_context(self._settings, section="dcs.etcd", error=StoreError)
        self._session = ClientSession(connector=TCPConnector(ssl=tls, limit=0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def url(self) -> str:
        """The one that is asked first."""
        return self._settings.hosts[self._first]

    async def read(self, key: str) -> Reading:
        """One key as it is now: etcd asks its own majority."""
        return parse_reading(await self._ask("/v3/kv/range", key_question(key)))

    async def lease_left_s(self, lease: int) -> int:
        """Whole seconds until this lease ends, rounded down."""
        return parse_lease_left(await self._ask("/v3/lease/timetolive", lease_question(lease)))

    async def watch(self, key: str, revision: int) -> AsyncIterator[WatchNews]:
        """What becomes of a key from a revision on, until the stream ends; nothing bounds how long it is silent."""
        timeout = ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
        url = self.url
        try:
            async with self._post("/v3/watch", watch_question(key, revision), timeout) as response:
                if response.status != 200:
                    raise self._refused(response, await _body(response))
                async for line in _lines(response):
                    yield parse_news(line)
        except (ClientError, OSError, ValueError) as problem:
            raise StoreError(f"{url} has ended the watch: {words(problem)}") from problem

    async def _ask(self, path: str, question: str) -> bytes:
        """The answer of the first etcd that has one."""
        problems: list[StoreError] = []
        for _ in self._settings.hosts:
            try:
                return await self._ask_one(path, question)
            except StoreError as problem:
                problems.append(problem)
                self._first = (self._first + 1) % len(self._settings.hosts)
        raise problems[0]

    async def _ask_one(self, path: str, question: str) -> bytes:
        if self._settings.username and not self._token:
            await self._log_in()
        try:
            return await self._answer(path, question)
        except _NotAuthenticatedError:
            if not self._settings.username:
                raise
            await self._log_in()  # a token ends after some minutes, and with etcd's restart
            return await self._answer(path, question)

    async def _log_in(self) -> None:
        settings = self._settings
        secret = settings.password.get_secret_value() if settings.password else ""
        self._token = ""
        self._token = parse_token(await self._answer("/v3/auth/authenticate", login(settings.username or "", secret)))

    async def _answer(self, path: str, question: str) -> bytes:
        url = self.url
        try:
            async with self._post(path, question, self._timeout) as response:
                body = await _body(response)
                if response.status != 200:
                    raise self._refused(response, body)
                return body
        except (ClientError, OSError, ValueError) as problem:
            raise StoreError(
                f"{url} gave no answer: {words(problem)}", hint="is etcd up there, and does dcs.etcd.hosts name it?"
            ) from problem

    def _post(self, path: str, question: str, timeout: ClientTimeout) -> AbstractAsyncContextManager[ClientResponse]:
        if self._session is None:
            raise RuntimeError("EtcdClient is used outside of its `async with`")
        headers = {"Authorization": self._token} if self._token else {}
        return self._session.post(
            self.url + path, data=question, headers=headers, timeout=timeout, allow_redirects=False
        )

    def _refused(self, response: ClientResponse, body: bytes) -> StoreError:
        why = parse_refusal(body) or f"status {response.status}"
        kind = _NotAuthenticatedError if response.status in UNAUTHORIZED or "auth token" in why else StoreError
        return kind(
            f"{self.url} refuses: {why}",
            hint="dcs.etcd.username needs a role that may read the cluster's keys (docs/agent.md)",
        )


class _NotAuthenticatedError(StoreError):
    """The token is not, or no longer, known."""


async def _lines(response: ClientResponse) -> AsyncIterator[bytes]:
    buffer = b""
    async for chunk in response.content.iter_any():
        *lines, buffer = (buffer + chunk).split(b"\n")
        if len(buffer) > MOST_BYTES:
            raise StoreError(f"{response.url} says more than {MOST_BYTES} bytes at once")
        for line in filter(None, lines):
            yield line


async def _body(response: ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MOST_BYTES:
            raise StoreError(f"{response.url} answered with more than {MOST_BYTES} bytes")
    return bytes(body)
