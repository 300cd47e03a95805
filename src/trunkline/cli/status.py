"""`trunkline status`: who serves what, where Patroni and HAProxy disagree, and why. Owns printing and the exit code."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live

from trunkline.cli.console import out
from trunkline.cli.options import ConfigOption, PatroniConfigOption, PatroniOption, ScopeOption, settings_from
from trunkline.cli.status_picture import draw
from trunkline.config.settings import Settings
from trunkline.model.status import Status
from trunkline.operate.status import read_status

EVERY_S = 1.0


def status(
    config: ConfigOption = None,
    patroni: PatroniOption = None,
    scope: ScopeOption = None,
    patroni_config: PatroniConfigOption = None,
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Where `trunkline run` keeps its files.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the same as JSON (docs/status.md); with --watch one line each time.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Keep it live until Ctrl-C.")] = False,
) -> None:
    """Show what Patroni says of each member, what HAProxy does with it, and why.

    Exit code 0 when a primary is reachable through this HAProxy, 1 when not.
    """
    settings = settings_from(config, patroni, scope, patroni_config, directory=directory)
    last = _watch(settings, as_json=as_json) if watch else asyncio.run(read_status(settings))
    if last is not None and not watch:
        _print(last, as_json=as_json, indent=2)
    raise typer.Exit(0 if last is not None and last.is_primary_reachable else 1)


def _watch(settings: Settings, *, as_json: bool) -> Status | None:
    """The last status before somebody had seen enough."""
    last = None
    try:
        if as_json or not sys.stdout.isatty():
            for last in _each_second(settings):
                _print(last, as_json=as_json, indent=None)
            return last
        with Live(console=out, screen=True, auto_refresh=False) as live:
            for last in _each_second(settings):
                live.update(draw(last), refresh=True)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:  # whoever read it has left; the interpreter's own flush at the end shall not complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return last


def _each_second(settings: Settings) -> Iterator[Status]:
    while True:
        started = time.monotonic()
        yield asyncio.run(read_status(settings))
        time.sleep(max(0.0, EVERY_S - (time.monotonic() - started)))


def _print(current: Status, *, as_json: bool, indent: int | None) -> None:
    if as_json:
        sys.stdout.write(json.dumps(asdict(current), indent=indent) + "\n")
        sys.stdout.flush()
    else:
        out.print(draw(current))
