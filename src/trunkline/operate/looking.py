"""One look at the members of a cluster, as an agent in the middle of a burst knows them. Nothing is decided here.

Each API is asked, and then its PostgreSQL; then once more the APIs whose answers have grown old while others were
silent, and last who holds the leader key. So a port tells of the time after its API's answer, and the key of the time
after both: the rows of the posture table that ask for that order fit here, too.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from trunkline.adapters.patroni_rest import PatroniRest
from trunkline.adapters.postgres_port import probe
from trunkline.agent.asking import ask_api
from trunkline.agent.other_members import OtherMembers
from trunkline.agent.watched import Member, facts_of, well_since
from trunkline.agent.watching import ANSWER_TIMEOUT_S, PORT_TIMEOUT_S
from trunkline.config.settings import ApiSettings
from trunkline.model.desired import Server
from trunkline.model.facts import LeaderKey, MemberFacts, PortFact, RestFact

OLD_S = 0.1
AGAIN_TIMEOUT_S = 0.25
"""Who has answered just now and is not as quick again has not become silent: what it has said stands."""


async def look(
    api: ApiSettings, servers: Iterable[Server], urls: Mapping[str, str]
) -> tuple[tuple[MemberFacts, ...], LeaderKey | None]:
    """The facts of these members, and the leader key as the first of them tells it; `urls`: of APIs, by member. Within
    2.5 s, so that not one of them is stale when the last one is there."""
    members = [Member(server=server, api_url=urls.get(server.member, "")) for server in servers]
    quick = api.model_copy(update={"timeout_s": min(ANSWER_TIMEOUT_S, api.timeout_s)})
    async with PatroniRest(quick) as patroni:
        await asyncio.gather(*(_ask(patroni, member) for member in members))
        await asyncio.gather(*(_ask_again(patroni, member) for member in members if _has_grown_old(member)))
        others = OtherMembers()
        others.rest, others.urls = patroni, tuple(urls.values())
        await others.ask()
    now = time.monotonic()
    return tuple(facts_of(member.server.member, member, now) for member in members), others.leader_key(now)


async def _ask(patroni: PatroniRest, member: Member) -> None:
    if member.api_url:
        _note(member, time.monotonic(), await ask_api(patroni, member))
    asked_at, postgres = time.monotonic(), member.server.postgres
    verdict = await probe(postgres.address, postgres.port, timeout_s=PORT_TIMEOUT_S)
    member.port_at, took_s = asked_at, time.monotonic() - asked_at
    member.port = PortFact(verdict=verdict, age_s=took_s, took_s=took_s)


async def _ask_again(patroni: PatroniRest, member: Member) -> None:
    asked_at = time.monotonic()
    try:
        async with asyncio.timeout(AGAIN_TIMEOUT_S):
            _note(member, asked_at, await ask_api(patroni, member))
    except TimeoutError:
        pass


def _has_grown_old(member: Member) -> bool:
    return member.rest is not None and member.rest.answer is not None and time.monotonic() - member.rest_at > OLD_S


def _note(member: Member, asked_at: float, fact: RestFact | None) -> None:
    took_s = time.monotonic() - asked_at
    member.rest = replace(fact, age_s=took_s, took_s=took_s) if fact is not None else None
    member.rest_at, member.well_since = asked_at, well_since(member)
