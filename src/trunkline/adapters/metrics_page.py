"""A page of metrics on an abstract socket, where HAProxy's stats port passes /metrics/agent on to."""

import socket
from collections.abc import Callable

from aiohttp import web

from trunkline.adapters.check_log import ADDRESS_BYTES
from trunkline.errors import HAProxyError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATH = "/metrics/agent"
END_TIMEOUT_S = 1.0


class MetricsPage:
    """Use it as `async with MetricsPage(name, text)`; `text` is asked at each request."""

    def __init__(self, name: str, text: Callable[[], bytes]) -> None:
        self._name = name
        self._text = text
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> None:
        """Raises HAProxyError where another process has the socket."""
        app = web.Application()
        app.router.add_get(PATH, self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=END_TIMEOUT_S)
        await self._runner.setup()
        await web.SockSite(self._runner, _listener(self._name)).start()

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        return web.Response(body=self._text(), headers={"Content-Type": CONTENT_TYPE})


def _listener(name: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        listener.bind(b"\0" + name.encode().ljust(ADDRESS_BYTES, b"\0"))
    except OSError as error:
        listener.close()
        raise HAProxyError(
            f"the abstract socket {name} is taken: {error.strerror or error}",
            hint="another process tells metrics of this HAProxy; is there another trunkline agent?",
        ) from None
    return listener
