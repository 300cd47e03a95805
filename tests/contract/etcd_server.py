"""A real etcd of one member, its JSON gateway, and the users that a test makes in it."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout
from own_process import OwnProcess

from trunkline.lab.binaries import Binary

START_TIMEOUT_S = 20.0
POLL_S = 0.02
ADMIN = "root"
ADMIN_PASSWORD = "admin"


def b64(text: str) -> str:
    return b64encode(text.encode()).decode()


class Etcd(OwnProcess):
    """Not started yet; `url` is where it listens once it is."""

    def __init__(self, binary: Binary, directory: Path, port: int, peer_port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._peer_url = f"http://127.0.0.1:{peer_port}"
        self._binary = binary
        self._directory = directory
        self._token = ""
        super().__init__(directory / "etcd.log")

    async def start(self) -> None:
        """Back when it answers."""
        await self.run(
            str(self._binary.path),
            f"--data-dir={self._directory / 'etcd'}",
            f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={self._peer_url}",
            f"--initial-advertise-peer-urls={self._peer_url}",
            f"--initial-cluster=default={self._peer_url}",
            "--logger=zap",
        )
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                with suppress(ClientError, OSError):
                    await self.call("/v3/maintenance/status", {})
                    return
                await asyncio.sleep(POLL_S)

    async def call(self, path: str, question: Mapping[str, Any]) -> Any:
        """One request to the gateway, as the admin where there is one."""
        headers = {"Authorization": self._token} if self._token else {}
        async with (
            ClientSession(timeout=ClientTimeout(total=5)) as session,
            session.post(self.url + path, data=json.dumps(question), headers=headers) as response,
        ):
            response.raise_for_status()
            return await response.json(content_type=None)

    async def grant(self, ttl_s: int) -> int:
        """A new lease."""
        return int((await self.call("/v3/lease/grant", {"TTL": str(ttl_s)}))["ID"])

    async def renew(self, lease: int) -> None:
        await self.call("/v3/lease/keepalive", {"ID": str(lease)})

    async def put(self, key: str, value: str, lease: int = 0) -> None:
        await self.call("/v3/kv/put", {"key": b64(key), "value": b64(value), "lease": str(lease)})

    async def delete(self, key: str) -> None:
        await self.call("/v3/kv/deleterange", {"key": b64(key)})

    async def add_reader(self, name: str, password: str, prefix: str) -> None:
        """A user who may read this prefix and nothing else; from now on everybody needs a password."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        await self.call("/v3/auth/user/add", {"name": ADMIN, "password": ADMIN_PASSWORD})
        await self.call("/v3/auth/user/grant", {"user": ADMIN, "role": "root"})
        await self.call("/v3/auth/role/add", {"name": "reader"})
        permission = {"permType": "READ", "key": b64(prefix), "range_end": b64(end)}
        await self.call("/v3/auth/role/grant", {"name": "reader", "perm": permission})
        await self.call("/v3/auth/user/add", {"name": name, "password": password})
        await self.call("/v3/auth/user/grant", {"user": name, "role": "reader"})
        await self.call("/v3/auth/enable", {})
        login = await self.call("/v3/auth/authenticate", {"name": ADMIN, "password": ADMIN_PASSWORD})
        self._token = login["token"]
