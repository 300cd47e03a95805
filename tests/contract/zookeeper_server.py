"""A real ZooKeeper of one server; Debian has it as libzookeeper-java, which starts no service."""

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path

from own_process import OwnProcess

JARS = (Path("/usr/share/java/zookeeper.jar"), Path("/usr/share/java/slf4j-nop.jar"))
IS_THERE = shutil.which("java") is not None and all(jar.exists() for jar in JARS)
START_TIMEOUT_S = 30.0
POLL_S = 0.05
# Who asks in the milliseconds between its listening and its having a database is accepted and never answered;
# who asks again is answered at once.
UNHEARD_S = 1.0
CONFIG = """
dataDir={data}
clientPort={port}
clientPortAddress=127.0.0.1
tickTime=500
maxSessionTimeout=40000
admin.enableServer=false
4lw.commands.whitelist=srvr,cons,dump
"""


class ZooKeeper(OwnProcess):
    """Not started yet; `address` is where it listens once it is."""

    def __init__(self, directory: Path, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self._port = port
        self._directory = directory
        super().__init__(directory / "zookeeper.log")

    async def start(self) -> None:
        """Back when it answers."""
        config = self._directory / "zoo.cfg"
        config.write_text(CONFIG.format(data=self._directory / "zookeeper", port=self._port))
        path = ":".join(map(str, JARS))
        await self.run(
            *("java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", path),
            *("org.apache.zookeeper.server.quorum.QuorumPeerMain", str(config)),
        )
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                with suppress(OSError):  # TimeoutError is one
                    if "Mode:" in await asyncio.wait_for(self.say("srvr"), UNHEARD_S):
                        return
                await asyncio.sleep(POLL_S)

    async def say(self, word: str) -> str:
        """One of its four-letter commands. Raises OSError where it does not listen."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(word.encode())
            return (await reader.read()).decode()
        finally:
            writer.close()

    async def changes(self) -> str:
        """The number of its last transaction; a session's beginning and end are one each."""
        return next(line for line in (await self.say("srvr")).splitlines() if line.startswith("Zxid:"))

    async def clients(self) -> int:
        """Connections that have a session."""
        return (await self.say("cons")).count("sid=")
