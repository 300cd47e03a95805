"""The agent's metrics as Prometheus gets them: through HAProxy's stats port."""

import asyncio
from collections.abc import Mapping

from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families
from supervised import Supervised


async def fetched(run: Supervised, path: str = "/metrics/agent") -> tuple[int, str]:
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{run.ports[2]}{path}") as response:
        return response.status, await response.text()


async def scraped(run: Supervised) -> str:
    """The page, once an agent answers and has been through a cycle."""
    async with asyncio.timeout(20):
        while True:
            status, text = await fetched(run)
            if status == 200 and "trunkline_steers 1.0" in text:
                return text
            await asyncio.sleep(0.05)


def values(text: str, name: str, labels: Mapping[str, str]) -> list[float]:
    """Of every sample with these labels."""
    return [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]


def value(text: str, name: str, labels: Mapping[str, str]) -> float:
    """Of the one sample with these labels."""
    found = values(text, name, labels)
    assert len(found) == 1, f"{name} {labels}: {found}"
    return found[0]
