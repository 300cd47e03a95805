"""Names to addresses, through the system's own resolver."""

import asyncio
import threading
import time

import pytest

from trunkline.adapters.resolver import resolve


@pytest.mark.parametrize("literal", ["10.0.0.11", "127.0.0.1", "fd00::11"])
async def test_a_literal_leads_to_itself(literal: str) -> None:
    assert (await resolve(literal, timeout_s=5)).addresses == (literal,)


async def test_a_name_leads_to_ipv4_first() -> None:
    addresses = (await resolve("localhost", timeout_s=5)).addresses
    assert addresses[0] == "127.0.0.1"
    assert len(set(addresses)) == len(addresses)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 300, "", "ho st", "\udc80", "a..b"])
async def test_a_name_that_leads_nowhere_is_a_value(host: str) -> None:
    resolution = await resolve(host, timeout_s=5)
    assert resolution.host == host
    assert resolution.addresses == ()
    assert resolution.problem


async def test_nobody_waits_beyond_the_deadline() -> None:
    began = time.monotonic()
    resolution = await resolve("localhost", timeout_s=0.0)
    assert time.monotonic() - began < 1
    assert resolution.addresses == ()
    assert "0 s" in resolution.problem
    await asyncio.sleep(0.1)  # what comes too late disturbs nobody


async def test_a_cancellation_that_comes_with_the_answer_is_not_lost() -> None:
    asking = asyncio.create_task(resolve("192.0.2.1", timeout_s=30))
    await asyncio.sleep(0)  # it asks
    for thread in threading.enumerate():
        if thread.name == "resolve 192.0.2.1":
            thread.join(30)
    asyncio.get_running_loop().call_soon(asking.cancel)  # after the answer has come, before anybody has read it
    with pytest.raises(asyncio.CancelledError):
        await asking
