"""`trunkline render ...`: what the configuration would be, on stdout, with nothing touched."""

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from trunkline.agent import memory
from trunkline.agent.configuration import Sources, configure
from trunkline.cli.console import err
from trunkline.cli.options import ConfigOption, PatroniConfigOption, PatroniOption, ScopeOption, settings_from
from trunkline.operate.apply import find_running, host_facts, memory_directory
from trunkline.operate.discover import discover
from trunkline.plan.paths import run_paths, service_paths
from trunkline.render.haproxy import lua_text


class What(StrEnum):
    """The files of a HAProxy."""

    HAPROXY = "haproxy"
    LUA = "lua"
    STATE = "state"


def render(
    what: Annotated[
        What, typer.Argument(help="The configuration, the Lua that it loads, or the state file that it starts from.")
    ] = What.HAPROXY,
    config: ConfigOption = None,
    patroni: PatroniOption = None,
    scope: ScopeOption = None,
    patroni_config: PatroniConfigOption = None,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="As `trunkline run --dir DIR` has it, instead of /etc/haproxy."),
    ] = None,
) -> None:
    """Print a file of HAProxy as `trunkline apply` would write it; the same input gives the same bytes.

    The members are learned from Patroni, or remembered where nobody answers. Passwords are printed as they are.
    """
    if what is What.LUA:
        typer.echo(lua_text(), nl=False)
        return
    settings = settings_from(config, patroni, scope, patroni_config, directory=directory)
    place = settings.directory.absolute() if settings.directory else None
    paths = run_paths(place, settings) if place else service_paths(settings)
    remembering = place or memory_directory()
    discovered = asyncio.run(discover(settings, memory.load(remembering) if remembering else ""))
    for note in discovered.notes:
        err.print(f"trunkline: going on without an answer: {note}", style="yellow", markup=False, soft_wrap=True)
    host = host_facts(settings, find_running(paths), is_ours=place is not None)
    configuration = configure(Sources(settings=settings, clusters=discovered.clusters, host=host), paths)
    wanted = {What.HAPROXY: paths.config, What.STATE: paths.state}[what]
    typer.echo(next(file.text for file in configuration.files if file.path == wanted), nl=False)
