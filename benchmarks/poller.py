"""What a plain agent would do, as a measure for ours: ask each member once a second, with a whole HTTP library.

    python -m benchmarks.poller TRUNKLINE.YML

Writes a line of JSON whenever a member has become a primary that takes writes, or has ceased to be one.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import aiohttp
import yaml

EVERY_S = 1.0
DEADLINE_S = 1.0


async def _follow(session: aiohttp.ClientSession, scope: str, number: int, url: str, first_s: float) -> None:
    await asyncio.sleep(first_s)
    name, before = f"pg{number}", None
    while True:
        began = time.monotonic()
        try:
            async with session.get(f"{url}/primary") as response:
                answer = json.loads(await response.read())
                now = response.status == 200 and "location" in answer.get("xlog", {})
        except (aiohttp.ClientError, TimeoutError, ValueError):
            now = False
        if now is not before:
            print(json.dumps([time.monotonic(), scope, name, now]), flush=True)
        before = now
        await asyncio.sleep(max(0.0, began + EVERY_S - time.monotonic()))


async def poll(settings: Path) -> None:
    """Until it is killed; the first questions are spread over a second."""
    clusters = yaml.safe_load(settings.read_text())["clusters"]
    members = [(it["scope"], number, url) for it in clusters for number, url in enumerate(it["patroni"], start=1)]
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as tasks:
        for place, (scope, number, url) in enumerate(members):
            tasks.create_task(_follow(session, scope, number, url, EVERY_S * place / len(members)))


if __name__ == "__main__":
    asyncio.run(poll(Path(sys.argv[1])))
