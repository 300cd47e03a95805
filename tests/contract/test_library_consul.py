"""Patroni's own Consul class against the answers that Consul's HTTP API gives (`GET /v1/kv/…?recurse`).

Consul itself is packaged nowhere that a test could take it from. So this says what our side asks of it, which is to
read, and what becomes of its answers; not that Consul gives them.
"""

from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from looking import holder, looking, until
from structlog.testing import capture_logs
from supervised import free_ports

from trunkline.agent.library_store import LOOK_S

PREFIX = "/v1/kv/service/demo/"


class Consul:
    """Answers for `keys`; keeps the requests that it has had. `refusal`: what it says to everybody instead."""

    def __init__(self, port: int) -> None:
        self.keys: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []
        self.tokens: set[str] = set()
        self.refusal = ""
        self._port = port
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def end(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.path_qs))
        self.tokens.add(request.headers.get("X-Consul-Token", ""))
        if self.refusal:
            return web.Response(status=403, text=self.refusal)
        found = [self._entry(key) for key in sorted(self.keys) if f"/v1/kv/{key}".startswith(request.path)]
        return web.json_response(found or None, status=200 if found else 404, headers={"X-Consul-Index": "42"})

    def _entry(self, key: str) -> dict[str, object]:
        value = b64encode(self.keys[key].encode()).decode()
        return {"Key": key, "Value": value, "Flags": 0, "LockIndex": 1, "CreateIndex": 40, "ModifyIndex": 42}


@pytest.fixture
async def consul(directory: Path) -> AsyncIterator[Consul]:
    (port,) = free_ports(1)
    section = f"consul:\n  host: 127.0.0.1:{port}\n  token: reader\n  register_service: true\n"
    (directory / "patroni.yml").write_text(f"scope: other\nname: pg1\n{section}")
    api = Consul(port)
    api.keys["service/demo/leader"] = "pg1"
    api.keys["service/demo/members/pg1"] = '{"conn_url": "postgres://127.0.0.1:1/postgres"}'
    yield api
    await api.end()


async def test_it_is_asked_for_the_keys_of_the_cluster_and_for_nothing_else(consul: Consul, directory: Path) -> None:
    await consul.start()
    async with looking(directory / "patroni.yml") as store:
        await until(lambda: holder(store) == "pg1")
        consul.keys["service/demo/leader"] = "pg2"
        assert await until(lambda: holder(store) == "pg2") < 2 * LOOK_S
        del consul.keys["service/demo/leader"]
        assert await until(lambda: holder(store) == "") < 2 * LOOK_S
    assert {(method, path.partition("?")[0]) for method, path in consul.asked} == {("GET", PREFIX)}
    assert consul.tokens == {"reader"}


async def test_an_agent_that_is_down_and_a_token_that_is_refused_are_told(consul: Consul, directory: Path) -> None:
    with capture_logs() as lines:
        async with looking(directory / "patroni.yml") as store:
            await until(lambda: bool(lines))  # nobody listens there yet
            await consul.start()
            await until(lambda: holder(store) == "pg1")
            assert lines[-1]["event"] == "the store answers again"
            consul.refusal = "Permission denied: token lacks permission 'key:read'"
            await until(lambda: any("Permission denied" in line.get("why", "") for line in lines))
