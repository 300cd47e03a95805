"""What is true now: asks Patroni and HAProxy once, all at once, and has it explained.

Owns whom to ask what; what the answers mean is `trunkline.plan.explain`. Whoever does not answer becomes a fact, not an
error: a status is worth most when something is down.
"""

import asyncio
import time
from collections.abc import Mapping

from trunkline.adapters.patroni_rest import PatroniRest
from trunkline.adapters.runtime_socket import MasterSocket, RuntimeSocket
from trunkline.agent import memory
from trunkline.agent.intents import read_drains
from trunkline.agent.old_workers import old_workers
from trunkline.config.settings import ClusterSettings, Settings
from trunkline.errors import PatroniError, RuntimeSocketError, TrunklineError, WrongScopeError
from trunkline.model.cluster import ClusterView, Member, MemberAnswer
from trunkline.model.desired import Service
from trunkline.model.facts import Workers
from trunkline.model.intent import Asked, asked
from trunkline.model.proxy import ProxyView
from trunkline.model.status import Status
from trunkline.operate.agent import read_agent_plan
from trunkline.operate.places import find_directory, find_haproxy
from trunkline.plan.explain import ClusterFacts, Facts, explain, wanted_services

MASTER_TIMEOUT_S = 1.0

View = ClusterView | TrunklineError


async def read_status(settings: Settings) -> Status:
    """The status of every cluster of these settings. Raises WrongScopeError where an API belongs to another cluster."""
    return explain(settings, await observe(settings))


async def read_members(settings: Settings) -> tuple[Member, ...]:
    """The members of every cluster of these settings. Raises TrunklineError where nobody names them."""
    remembered = memory.load(find_directory(settings))
    views = await asyncio.gather(*(_view(chosen, remembered) for chosen in settings.clusters))
    for view in views:
        if isinstance(view, TrunklineError):
            raise view
    return tuple(member for view in views if isinstance(view, ClusterView) for member in view.members)


async def observe(settings: Settings) -> Facts:
    """What Patroni and HAProxy say, within a few times the settings' timeouts."""
    paths = find_haproxy(settings)
    asking = asyncio.create_task(_proxy(paths.admin_socket), name="ask HAProxy")
    deciding = asyncio.create_task(read_agent_plan(paths), name="ask the agent")
    looking = asyncio.create_task(_workers(paths.master_socket), name="look at old workers")
    remembered = memory.load(find_directory(settings))
    views = await asyncio.gather(*(_view(chosen, remembered) for chosen in settings.clusters))
    services = wanted_services(settings, tuple(view if isinstance(view, ClusterView) else None for view in views))
    clusters = await asyncio.gather(
        *(_cluster(chosen, view, its) for chosen, view, its in zip(settings.clusters, views, services, strict=True))
    )
    proxy, problem = await asking
    known, asked_problem = read_asked(settings)
    return Facts(
        clusters=tuple(clusters),
        socket=paths.admin_socket,
        proxy=proxy,
        proxy_problem=problem,
        workers=await looking,
        asked=known,
        asked_problem=asked_problem,
        agent=await deciding,
    )


def read_asked(settings: Settings) -> tuple[tuple[Asked, ...], str]:
    """What people have asked for, or why that cannot be read."""
    try:
        drains = read_drains(find_directory(settings).absolute())
    except TrunklineError as error:
        return (), in_words(error)
    now_s = time.time()
    return tuple(asked(drain, now_s) for drain in drains), ""


async def _proxy(socket: str) -> tuple[ProxyView | None, str]:
    try:
        return await RuntimeSocket(socket).view(), ""
    except RuntimeSocketError as error:
        return None, in_words(error)


async def _workers(socket: str | None) -> Workers:
    """Nothing where the master cannot be asked: it is not everybody's to ask."""
    if socket is None:
        return Workers()
    try:
        return await old_workers(MasterSocket(socket, timeout_s=MASTER_TIMEOUT_S))
    except RuntimeSocketError:
        return Workers()


async def _view(chosen: ClusterSettings, remembered: str) -> View:
    """From the APIs of the settings and, where they are down, from members that `trunkline run` remembers."""
    known = memory.recalled(remembered, chosen)
    try:
        async with PatroniRest(chosen.api) as patroni:
            try:
                return await patroni.view(chosen.patroni, scope=chosen.scope)
            except PatroniError:
                if known is None:
                    raise
                return await patroni.view(known.urls, scope=known.view.scope)
    except WrongScopeError:
        raise
    except TrunklineError as error:
        return error


async def _cluster(chosen: ClusterSettings, view: View, services: tuple[Service, ...]) -> ClusterFacts:
    if not isinstance(view, ClusterView):
        return ClusterFacts(view=None, problem=in_words(view))
    paths = tuple(dict.fromkeys(service.path for service in services))
    async with PatroniRest(chosen.api) as patroni:
        answers = await asyncio.gather(*(_answers(patroni, member, paths) for member in view.members))
    found = {key: it for part in answers for key, it in part.items()}
    return ClusterFacts(view=view, answers=found, asked_at=time.time())


async def _answers(
    patroni: PatroniRest, member: Member, paths: tuple[str, ...]
) -> Mapping[tuple[str, str], MemberAnswer | str]:
    """One question after the other, since the API has few threads; who is silent once is not asked again."""
    answers: dict[tuple[str, str], MemberAnswer | str] = {}
    for path in paths:
        try:
            answers[member.name, path] = await patroni.member(member.api_url, path)
        except PatroniError as error:
            return {(member.name, each): error.message for each in paths}
    return answers


def in_words(error: TrunklineError) -> str:
    """On one line, with its remedy."""
    message = "; ".join(line.strip().rstrip(":") for line in error.message.splitlines())
    return f"{message} ({error.hint})" if error.hint else message
