"""`trunkline drain` and `trunkline ready`: no new sessions for a member, and an end of that. Owns options and words."""

import asyncio
import getpass
import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from trunkline.cli.console import err, out
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
from trunkline.model.request import Outcome, Place
from trunkline.operate.drain import drain as ask_for_drain
from trunkline.operate.drain import find_target
from trunkline.operate.drain import ready as ask_for_ready

UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
LONGEST = timedelta(days=366)
MOST_CHARACTERS = 200

MemberArgument = Annotated[str, typer.Argument(metavar="MEMBER", help="Its name in Patroni.")]


def drain(
    member: MemberArgument,
    lasts: Annotated[
        str | None,
        typer.Option("--for", metavar="TIME", help="How long: 45s, 30m, 2h, 1d, 1h30m. Without it: until `ready`."),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="WORDS", help="Why; shown wherever the drain is.")] = "",
    config: ConfigOption = None,
    patroni: PatroniOption = None,
    scope: ScopeOption = None,
    patroni_config: PatroniConfigOption = None,
    directory: DirectoryOption = None,
) -> None:
    """Give a member no new sessions on the replicas' ports; those that it has stay.

    It is kept on disk, with who has asked, until when and why: an agent sets it in HAProxy, again after its own restart
    and after every reload, until TIME is over or `trunkline ready`. The port of the primary is not affected, also where
    the member is the primary or becomes it. Exit code 0 when HAProxy shows it, 1 when it is noted and not done.
    """
    length, why = time_of(lasts), reason_of(reason)
    settings = _settings(config, patroni, scope, patroni_config, directory)
    target = asyncio.run(find_target(settings, member, scope))
    for warning in target.warnings:
        err.print(f"trunkline: {printable(warning)}", style="yellow", markup=False, soft_wrap=True)
    now = datetime.now().astimezone()
    outcome = asyncio.run(ask_for_drain(settings, target, who=login_name(), lasts=length, why=why, now=now))
    _tell(outcome, f"{member} is {outcome.drain.words}" if outcome.drain is not None else "", is_drain=True)


def ready(
    member: MemberArgument,
    config: ConfigOption = None,
    patroni: PatroniOption = None,
    scope: ScopeOption = None,
    patroni_config: PatroniConfigOption = None,
    directory: DirectoryOption = None,
) -> None:
    """End what `trunkline drain` has asked for: the member gets new sessions again, as far as it qualifies.

    What was set in HAProxy by hand is left alone. Exit code 0 when HAProxy shows it, 1 when not.
    """
    settings = _settings(config, patroni, scope, patroni_config, directory)
    target = asyncio.run(find_target(settings, member, scope))
    outcome = asyncio.run(ask_for_ready(settings, target, now=datetime.now().astimezone()))
    was = f"{member} was {outcome.drain.words}; that is over" if outcome.drain is not None else ""
    _tell(outcome, was or f"nobody has asked for a drain of {member}", is_drain=False)


def time_of(text: str | None) -> timedelta | None:
    """A length of time, as people write it. Raises UsageError."""
    if text is None:
        return None
    parts = re.findall(r"([0-9]{1,9})\s*(min|[smhd])\s*", text.strip())
    whole = re.fullmatch(r"(?:[0-9]{1,9}\s*(?:min|[smhd])\s*)+", text.strip())
    seconds = sum(int(count) * UNITS_S[unit] for count, unit in parts)
    if whole is None or not 0 < seconds <= LONGEST.total_seconds():
        raise UsageError(f"--for {text!r} is no length of time", hint="such as 45s, 30m, 2h, 1d or 1h30m")
    return timedelta(seconds=seconds)


def reason_of(text: str) -> str:
    """One line. Raises UsageError."""
    line = " ".join(text.split())
    if len(line) > MOST_CHARACTERS or not line.isprintable():
        raise UsageError(f"--reason has at most {MOST_CHARACTERS} printable characters")
    return line


def login_name() -> str:
    """Who asks: behind sudo, who has called that."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _settings(
    config: Path | None,
    patroni: list[str] | None,
    scope: str | None,
    patroni_config: Path | None,
    directory: Path | None,
) -> Settings:
    """With several clusters the scope chooses one of them; with one it is a setting, as for other commands."""
    settings = settings_from(config, patroni, None, patroni_config, directory=directory)
    if scope is None or len(settings.clusters) > 1:
        return settings
    return settings_from(config, patroni, scope, patroni_config, directory=directory)


def _tell(outcome: Outcome, headline: str, *, is_drain: bool) -> None:
    if outcome.is_done or not is_drain:
        out.print(printable(headline), markup=False, soft_wrap=True)
    for line in _places(outcome, is_drain=is_drain):
        out.print(printable(line), markup=False, soft_wrap=True)
    if not outcome.is_done:
        raise TrunklineError(outcome.problem, hint=outcome.hint)


def _places(outcome: Outcome, *, is_drain: bool) -> Iterator[str]:
    for place in outcome.places:
        yield f"  {place.service}: {_drained(place) if is_drain else _ready(place)}"


def _drained(place: Place) -> str:
    if place.takes_sessions:
        return f"it still gets new sessions, {place.sessions} now"
    by_hand = f", set to {place.health.value.lower()} by hand as well" if place.is_by_hand else ""
    return f"no new sessions, {place.sessions} left{by_hand}"


def _ready(place: Place) -> str:
    if place.takes_sessions:
        return f"it gets new sessions, {place.sessions} now"
    why = "`trunkline explain` says why" if place.is_listed else "the cluster does not list it any more"
    return f"{place.health.value}, {place.sessions} sessions; {why}"
