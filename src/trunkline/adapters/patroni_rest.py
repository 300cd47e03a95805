"""Patroni's REST API over HTTP: one question, one answer, one deadline.

Owns TLS, authentication and the translation of what goes wrong into `PatroniError` with the URL and a remedy; what an
answer means is `trunkline.wire.patroni`. The API is HTTP/1.0 without keep-alive and has five threads: every request is
a connection of its own, closed at its end, and nothing is tried twice here. What needs neither TLS nor a name server
goes through `short_http`, everything else through aiohttp.
"""

import asyncio
import os
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import replace
from socket import AF_INET, AF_INET6, AI_NUMERICHOST, AddressFamily
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientOSError,
    ClientResponse,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    InvalidURL,
    ServerDisconnectedError,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver, ResolveResult

from trunkline.adapters.resolver import resolve
from trunkline.adapters.short_http import Questions, TooMuchError, UnreachedError, place_of
from trunkline.adapters.tls import client_context, words
from trunkline.config.settings import ApiSettings
from trunkline.errors import PatroniError, SilentError, WrongScopeError
from trunkline.model.cluster import ClusterView, DynamicConfig, MemberAnswer
from trunkline.wire.patroni import parse_cluster, parse_config, parse_member_answer

MAX_ANSWER_BYTES = 4 * 1024 * 1024

Parsed = TypeVar("Parsed")


class PatroniRest:
    """A client for any number of members; use it as `async with PatroniRest(settings.api) as patroni`.

    Every method takes the URL of a member's API with or without Patroni's own path: `http://10.0.0.11:8008` and
    `http://10.0.0.11:8008/patroni` are the same.
    """

    def __init__(self, api: ApiSettings) -> None:
        self._api = api
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in _login(api).items()).encode("latin-1")
        self._session: ClientSession | None = None
        self._questions: Questions | None = None

    async def __aenter__(self) -> Self:
        if self._api.ca_file is not None or self._api.cert_file is not None:
            self._library()  # which says now what is wrong with them
        self._questions = Questions.join()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        questions, self._questions = self._questions, None
        session, self._session = self._session, None
        if questions is not None:
            questions.leave()
        if session is not None:
            await session.close()

    def _library(self) -> ClientSession:
        """Made when it is needed: what a system trusts is a megabyte, and there are two of us for each cluster."""
        api = self._api
        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(
                    ssl=client_context(api, section="api", error=PatroniError),
                    resolver=_Resolver(api.timeout_s),
                    use_dns_cache=False,
                    force_close=True,
                    limit=0,
                ),
                headers=_login(api),
                timeout=ClientTimeout(total=api.timeout_s),
            )
        return self._session

    async def cluster(self, url: str) -> ClusterView:
        """`GET /cluster`: members, roles, addresses; without the dynamic configuration."""
        return await self._usable(url, "/cluster", parse_cluster)

    async def config(self, url: str) -> DynamicConfig:
        """`GET /config`: the cluster's dynamic configuration."""
        return await self._usable(url, "/config", parse_config)

    async def member(self, url: str, path: str = "/patroni") -> MemberAnswer:
        """What one member says of itself; `path` may be any role check, whose refusal is an answer, too."""
        place = base_url(url) + path
        status, body = await self._get(place)
        return _understood(place, lambda: parse_member_answer(status, body))

    async def view(self, urls: Iterable[str], *, scope: str | None = None) -> ClusterView:
        """The cluster with its configuration, as the first of these members tells that has a usable answer.

        With `scope`, a member of another cluster has none: WrongScopeError where nobody else answers.
        """
        asked = tuple(dict.fromkeys(map(base_url, urls)))
        if not asked:
            raise PatroniError("there is no Patroni to ask", hint="name one: --patroni http://HOST:8008")
        waiting = {asyncio.create_task(self._view_of(url, scope), name=f"view of {url}") for url in asked}
        errors: list[PatroniError] = []
        try:
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(done, key=lambda task: task.get_name()):
                    error = task.exception()
                    if error is None:
                        return task.result()
                    if not isinstance(error, PatroniError):
                        raise error
                    errors.append(error)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        raise _nobody(errors)

    async def _view_of(self, url: str, scope: str | None) -> ClusterView:
        view = await self.cluster(url)
        if not view.scope:
            view = replace(view, scope=(await self.member(url)).scope)
        if scope is not None and view.scope != scope:
            raise WrongScopeError(
                f"{url} belongs to the cluster {view.scope!r}, not to {scope!r}",
                hint="correct the URL, or `scope` in the settings",
            )
        return replace(view, config=await self.config(url))

    async def _usable(self, url: str, path: str, parse: Callable[[bytes], Parsed]) -> Parsed:
        place = base_url(url) + path
        status, body = await self._get(place)
        if status != 200:
            raise PatroniError(
                f"{place} answered with status {status}",
                hint="if a Patroni is there, its log says why; else correct the URL",
            )
        return _understood(place, lambda: parse(body))

    async def _get(self, url: str) -> tuple[int, bytes]:
        """Status and body; everything that can go wrong on the way is a PatroniError."""
        questions = self._questions
        if questions is None:
            raise RuntimeError("PatroniRest is used outside of its `async with`")
        short = place_of(url)
        try:
            if short is not None:
                status, body = await questions.get(*short, self._headers, timeout_s=self._api.timeout_s)
            else:
                status, body = await self._get_by_library(self._library(), url)
        except (ClientError, OSError, ValueError) as error:
            raise _translated(url, error, self._api) from error
        if status == 401:
            raise PatroniError(
                f"{url} asks for a user and a password, or knows ours not",
                hint="set api.username and api.password, and api.authenticate_checks: true",
            )
        return status, body

    async def _get_by_library(self, session: ClientSession, url: str) -> tuple[int, bytes]:
        server_name = self._api.server_name if url.startswith("https:") else None
        async with session.get(url, allow_redirects=False, server_hostname=server_name) as response:
            return response.status, await _body(response)


class _Resolver(AbstractResolver):
    """aiohttp's own would keep the interpreter from ending while a name server is silent."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_INET) -> list[ResolveResult]:
        resolution = await resolve(host, timeout_s=self._timeout_s)
        if not resolution.addresses:
            raise OSError(None, resolution.problem)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=AF_INET6 if ":" in address else AF_INET,
                proto=0,
                flags=AI_NUMERICHOST,
            )
            for address in resolution.addresses
        ]

    async def close(self) -> None:
        """Nothing is kept."""


def base_url(url: str) -> str:
    """The URL without Patroni's own path."""
    return url.rstrip("/").removesuffix("/patroni")


def _understood(url: str, parse: Callable[[], Parsed]) -> Parsed:
    try:
        return parse()
    except PatroniError as error:
        raise PatroniError(f"{url}: {error.message}", hint=error.hint) from None


async def _body(response: ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise PatroniError(
                f"{response.url} answered with more than {MAX_ANSWER_BYTES} bytes", hint="no Patroni says so much"
            )
    return bytes(body)


def _login(api: ApiSettings) -> dict[str, str]:
    if not api.authenticate_checks or api.username is None or api.password is None:
        return {}
    login = f"{api.username}:{api.password.get_secret_value()}".encode()
    return {"Authorization": f"Basic {b64encode(login).decode()}"}


def _translated(url: str, error: Exception, api: ApiSettings) -> PatroniError:
    match error:
        case ClientConnectorCertificateError():
            return PatroniError(
                f"the certificate of {url} is not trusted: {_words(error.certificate_error)}",
                hint="api.ca_file names the certificate that signed it, api.server_name the name in it",
            )
        case ClientSSLError():
            return PatroniError(
                f"no TLS with {url}: {_words(error.os_error)}",
                hint="does this API speak https, and does it ask for a client certificate (api.cert_file)?",
            )
        case ClientConnectorDNSError():
            return PatroniError(
                f"{urlsplit(url).hostname} leads to no address: {_words(error.os_error)}",
                hint="correct the name, or write the address instead",
            )
        case ClientConnectorError():
            return _unreached(url, error.os_error)
        case TimeoutError():
            return SilentError(
                f"{url} gave no answer within {api.timeout_s:g} s",
                hint="is the host up, does a firewall stand between, is Patroni frozen? (api.timeout_s says how long)",
            )
        case UnreachedError():
            return _unreached(url, error)
        case TooMuchError():
            return PatroniError(f"{url} answered with {error}", hint="no Patroni says so much")
        case ServerDisconnectedError() | ClientOSError() | ConnectionError():
            return SilentError(
                f"{url} gave no answer that can be understood: it closed the connection",
                hint="is this the REST API of a Patroni, does it speak https, or is it about to stop?",
            )
        case InvalidURL():
            return PatroniError(f"{url} is no URL", hint="write it as http://10.0.0.11:8008")
        case _:
            return PatroniError(
                f"{url} gave no answer that can be understood: {_words(error)}",
                hint="is this the REST API of a Patroni, and does it speak https?",
            )


def _unreached(url: str, error: OSError) -> SilentError:
    return SilentError(
        f"{url} cannot be reached: {_words(error)}",
        hint="is Patroni running there, and does its restapi.listen name this address and port?",
    )


def _words(error: BaseException) -> str:
    """What the system or the library says, in one line."""
    if isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno).lower()  # asyncio's own words for it name the address as a tuple
    return words(error)


def _nobody(errors: list[PatroniError]) -> PatroniError:
    wrong = next((error for error in errors if isinstance(error, WrongScopeError)), None)
    if wrong is not None or len(errors) == 1:
        return wrong or errors[0]
    lines = "\n".join(f"  {error.message}" for error in sorted(errors, key=lambda error: error.message))
    return PatroniError(
        f"none of {len(errors)} Patroni REST APIs gave a usable answer:\n{lines}",
        hint=f"for the first: {min(errors, key=lambda error: error.message).hint}",
    )
