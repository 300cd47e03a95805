"""`trunkline plan` and `trunkline explain`: what the agent would do now, and why. Owns how that looks."""

import asyncio
import json
import sys
from collections.abc import Iterator, Set
from dataclasses import asdict
from typing import Annotated

import typer

from trunkline.cli.console import out
from trunkline.cli.options import (
    ConfigOption,
    DirectoryOption,
    PatroniConfigOption,
    PatroniOption,
    ScopeOption,
    settings_from,
)
from trunkline.cli.status_picture import printable
from trunkline.config.settings import Settings
from trunkline.errors import TrunklineError, UsageError
from trunkline.model.planned import MemberStance, ServicePlan
from trunkline.model.status import MemberStatus, Status
from trunkline.operate.plan import read_plans
from trunkline.operate.status import in_words, read_status
from trunkline.plan.posture import PRIMARY_ROWS, REPLICA_ROWS, Row


def plan(
    config: ConfigOption = None,
    patroni: PatroniOption = None,
    scope: ScopeOption = None,
    patroni_config: PatroniConfigOption = None,
    directory: DirectoryOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON (docs/agent.md).")] = False,
    posture: Annotated[
        bool, typer.Option("--posture", help="Print the table of rules instead: what is decided on which facts.")
    ] = False,
) -> None:
    """Say what the agent would do now and why, and do nothing.

    Everybody is asked: each member's API, then its port, who holds the leader key, and HAProxy.
    """
    if posture:
        if as_json:
            sys.stdout.write(json.dumps(_posture_as_json(), indent=2) + "\n")
        else:
            _say(_posture())
        return
    settings = settings_from(config, patroni, scope, patroni_config, directory=directory)
    plans = asyncio.run(read_plans(settings))
    if as_json:
        sys.stdout.write(json.dumps({"services": [asdict(it) for it in plans]}, indent=2) + "\n")
    else:
        _say(line for it in plans for line in _service(it))


def explain(
    member: Annotated[str | None, typer.Argument(metavar="MEMBER", help="One member. Without it: every one.")] = None,
    config: ConfigOption = None,
    patroni: PatroniOption = None,
    scope: ScopeOption = None,
    patroni_config: PatroniConfigOption = None,
    directory: DirectoryOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON (docs/agent.md).")] = False,
) -> None:
    """Say in sentences why a member is in or out of each service, right now.

    What the agent that runs has decided last, and on which facts; where none runs, what one would decide.
    """
    settings = settings_from(config, patroni, scope, patroni_config, directory=directory)
    plans, status, problem = asyncio.run(_both(settings))
    is_running = problem is None
    names = sorted(it.name for cluster in status.clusters for it in cluster.members)
    if member is not None and member not in names:
        raise UsageError(f"there is no member {member!r}", hint=f"the members are {', '.join(names) or 'not known'}")
    members = [it for cluster in status.clusters for it in cluster.members if member in (None, it.name)]
    warned = _warned(plans, {it.service for member in members for it in member.services})
    if as_json:
        told = {
            "is_agent_running": is_running,
            "members": [_explained(it, plans) for it in members],
            "services": [asdict(it) for cluster in status.clusters for it in cluster.services],
            "warnings": [{"warning": warning, "services": services} for warning, services in warned.items()],
        }
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        _say(_ports(status))
        _say(iter([f"what an agent would decide is not known: {problem}"] if problem else []))
        _say(line for it in members for line in _member(it, plans, "the agent" if is_running else "an agent"))
        _say(f"WARNING: {', '.join(services)}: {warning}" for warning, services in warned.items())


async def _both(settings: Settings) -> tuple[tuple[ServicePlan, ...], Status, str | None]:
    """What was decided; where no agent runs, what would be, and why that is not known, "" where it is."""
    status = await read_status(settings)
    if status.agent is not None and status.agent.pid is not None and status.agent.services:
        return status.agent.services, status, None
    try:
        return await read_plans(settings), status, ""
    except TrunklineError as error:
        return (), status, in_words(error)


def _say(lines: Iterator[str]) -> None:
    for line in lines:
        out.print(printable(line), markup=False, soft_wrap=True)


def _service(it: ServicePlan) -> Iterator[str]:
    yield f"{it.service} of {it.scope}" if it.scope else it.service
    for stance in it.members:
        yield f"  {stance.member} {stance.stance}{_leased(stance.leased)}: {stance.because}"
        yield f"    {stance.facts}"
    for warning in it.warnings:
        yield f"  WARNING: {warning}"
    for number, command in enumerate(it.commands, start=1):
        yield f"  {number}. {command.command}"
        yield f"     {command.reason}"
    if not it.commands:
        yield "  nothing to do"


def _ports(status: Status) -> Iterator[str]:
    """Whom a port that is closed keeps from every member."""
    for service in (it for cluster in status.clusters for it in cluster.services):
        if status.haproxy.problem == "" and not service.is_open:
            yield f"{service.service}: {service.sentence}"


def _explained(member: MemberStatus, plans: tuple[ServicePlan, ...]) -> dict[str, object]:
    stances = _stances(plans)
    services = [
        asdict(it) | {"agent": asdict(stance) if (stance := stances.get((it.service, member.name))) else None}
        for it in member.services
    ]
    return asdict(member) | {"services": services}


def _warned(plans: tuple[ServicePlan, ...], services: Set[str]) -> dict[str, list[str]]:
    """What is warned of in these services, and in which of them."""
    warned: dict[str, list[str]] = {}
    for it in plans:
        for warning in it.warnings if it.service in services else ():
            warned.setdefault(warning, []).append(it.service)
    return warned


def _stances(plans: tuple[ServicePlan, ...]) -> dict[tuple[str, str], MemberStance]:
    return {(it.service, stance.member): stance for it in plans for stance in it.members}


def _member(member: MemberStatus, plans: tuple[ServicePlan, ...], agent: str) -> Iterator[str]:
    yield f"{member.name} at {member.address}"
    stances = _stances(plans)
    for service in member.services:
        place = "in" if service.takes_sessions else "out"
        yield f"  {service.service}: {place}, {service.reason}"
        stance = stances.get((service.service, member.name))
        if stance is not None:
            yield f"    {agent}: {stance.stance}{_leased(stance.leased)}, since {stance.because}"
            yield f"    {stance.facts}"


def _leased(what: tuple[str, ...]) -> str:
    return f" (under the lease: {', '.join(what)})" if what else ""


def _posture() -> Iterator[str]:
    for title, rows in (("of the primary's port", PRIMARY_ROWS), ("of the replicas' ports", REPLICA_ROWS)):
        yield f"A member {title}: the first row that fits decides."
        yield from (f"  {number:2}. {_row(row)}" for number, row in enumerate(rows, start=1))


def _posture_as_json() -> dict[str, object]:
    return {name: _rows(rows) for name, rows in (("primary", PRIMARY_ROWS), ("replicas", REPLICA_ROWS))}


def _rows(rows: tuple[Row, ...]) -> list[dict[str, object]]:
    return [
        {"number": number, "stance": row.stance.value, "when": row.when, "then": row.then}
        for number, row in enumerate(rows, start=1)
    ]


def _row(row: Row) -> str:
    return f"{row.when}: {row.then}"
