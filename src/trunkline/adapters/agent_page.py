"""What the agent has to tell, on an abstract socket: metrics, which HAProxy's stats port passes on as /metrics/agent,
and what it has decided, for `trunkline status` on the same host."""

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector, web

from trunkline.adapters import abstract_socket

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
JSON_TYPE = "application/json"
METRICS, PLAN = "/metrics/agent", "/plan"
END_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """`text` is asked at each request."""

    text: Callable[[], bytes]
    content_type: str


class AgentPage:
    """Use it as `async with AgentPage(name, {path: page})`."""

    def __init__(self, name: str, pages: Mapping[str, Page]) -> None:
        self._name = name
        self._pages = pages
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> None:
        """Raises HAProxyError where another process has the socket."""
        hint = "another process tells metrics of this HAProxy; is there another trunkline agent?"
        listener = abstract_socket.bind(self._name, socket.SOCK_STREAM, taken_hint=hint)
        app = web.Application()
        for path in self._pages:
            app.router.add_get(path, self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=END_TIMEOUT_S)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        page = self._pages[request.path]
        return web.Response(body=page.text(), headers={"Content-Type": page.content_type})


async def fetch(name: str, path: str, *, timeout_s: float) -> bytes | None:
    """What the agent of this name tells; None where there is none, or it gave no answer in time."""
    connector = UnixConnector(path=abstract_socket.address(name).decode())
    with suppress(ClientError, OSError, asyncio.TimeoutError):
        async with (
            ClientSession(connector=connector, timeout=ClientTimeout(total=timeout_s)) as session,
            session.get(f"http://agent{path}") as response,
        ):
            return await response.read() if response.status == web.HTTPOk.status_code else None
    return None
