"""JDBC's own driver with one balancer in its URL, and with two; Debian has it as libpostgresql-jdbc-java."""

import asyncio
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.beside import beside
from tests.lab.gap import gap, wait_held
from tests.lab.role_change import leader_of
from tests.lab.test_hold import first_that_is, refused
from trunkline.lab.balancer import Balancer
from trunkline.lab.load import REFUSED, STARTING_OR_STOPPING, prepare
from trunkline.lab.patroni_config import SUPERUSER
from trunkline.testing.fake_cluster import FakeCluster

DRIVER = Path("/usr/share/java/postgresql.jar")
CLIENT = Path(__file__).with_name("jdbc") / "Write.java"
TIMEOUT_S = 60.0

pytestmark = pytest.mark.skipif(
    shutil.which("javac") is None or not DRIVER.exists(), reason="there is no JDK, or no driver in /usr/share/java"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`state`: "written" or an SQLSTATE; `told`: the server, or the driver's words; `took_s`: without Java's start."""

    state: str
    took_s: float
    told: str


def write_through(*balancers: Balancer) -> Outcome:
    """One connect-write-close with a URL that names all of these."""
    hosts = ",".join("{}:{}".format(*balancer.address("primary")) for balancer in balancers)
    url = f"jdbc:postgresql://{hosts}/postgres?connectTimeout=5&loginTimeout=40"
    password = balancers[0].lab.made.passwords.superuser
    ended = subprocess.run(
        ["java", "-XX:TieredStopAtLevel=1", "-cp", str(DRIVER), str(CLIENT), url, SUPERUSER],
        env={**os.environ, "PGPASSWORD": password},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    state, took_ms, _, told = ended.stdout.strip().split(" ", 3)
    return Outcome(state=state, took_s=int(took_ms) / 1000, told=told)


async def test_it_waits_in_a_gap_and_is_served(balancer: Balancer) -> None:
    await prepare(balancer.conninfo())
    with beside(balancer) as quick:
        await asyncio.to_thread(quick.wait_written)
        async with gap(quick):
            waiting = asyncio.create_task(asyncio.to_thread(write_through, quick))
            await wait_held(quick, 1, timeout_s=TIMEOUT_S)
        outcome = await waiting
    assert (outcome.state, outcome.told) == ("written", balancer.lab.member(leader_of(balancer.lab)).place.host)


async def test_from_a_balancer_without_a_primary_in_reach_it_goes_on_to_the_next(balancer: Balancer) -> None:
    await prepare(balancer.conninfo())
    lab, leader = balancer.lab, leader_of(balancer.lab)
    places = {name: (member.place.host, member.place.port) for name, member in lab.members.items()}
    async with FakeCluster(tuple(places), leader=leader, postgres=places) as apis:
        with beside(balancer, patroni=list(apis.urls)) as lonely:
            await asyncio.to_thread(lonely.wait_written)
            for api in apis.apis.values():
                await api.refuse()
            await refused(lonely, "primary")  # in PostgreSQL's words, from now on
            first = await asyncio.to_thread(write_through, lonely, balancer)
            await first_that_is(REFUSED, lonely)  # by the kernel, from now on
            alone = await asyncio.to_thread(write_through, lonely)
            then = await asyncio.to_thread(write_through, lonely, balancer)
    served = ("written", lab.member(leader).place.host)
    assert (first.state, first.told) == served
    assert alone.state not in ("written", STARTING_OR_STOPPING)
    assert (then.state, then.told) == served
