"""Work on a node of a real cluster, as a person does it: drained, switched away from, and back."""

import asyncio
from contextlib import AsyncExitStack

from tests.lab.commands import command, status
from tests.lab.role_change import leader_of
from tests.lab.test_replicas import host_of, read, replicas_of, session_on, until_health
from trunkline.lab.balancer import Balancer
from trunkline.model.proxy import Health


async def test_who_is_drained_gets_no_reads_in_whatever_role(steered: Balancer) -> None:
    node, other = replicas_of(steered)
    leader = leader_of(steered.lab)
    await until_health(steered, Health.UP, node, other)
    async with AsyncExitStack() as stack:
        mine = await session_on(stack, steered, node)
        told = await asyncio.to_thread(command, steered, "drain", node, "--for", "1h", "--reason", "kernel update")
        assert (told.returncode, told.stderr) == (0, "")
        try:
            assert {await read(steered) for _ in range(6)} == {host_of(steered, other)}
            await mine.execute("select 1")

            await asyncio.to_thread(steered.lab.switchover, node)
            await asyncio.to_thread(steered.wait_written)  # 5000 leads to it all the same
            assert leader_of(steered.lab) == node
            await mine.execute("select 1")
            await until_health(steered, Health.UP, leader)
            assert host_of(steered, node) not in {await read(steered) for _ in range(6)}

            await asyncio.to_thread(steered.lab.switchover, leader)
            await asyncio.to_thread(steered.wait_written)
            await until_health(steered, Health.DRAIN, node)  # a replica again, and still drained
            assert {await read(steered) for _ in range(6)} == {host_of(steered, other)}
            _, cluster = await asyncio.to_thread(status, steered)
            assert [(it["member"], it["why"]) for it in cluster["drains"]] == [(node, "kernel update")]
        finally:
            back = await asyncio.to_thread(command, steered, "ready", node)
        assert (back.returncode, back.stderr) == (0, "")
        await until_health(steered, Health.UP, node)
