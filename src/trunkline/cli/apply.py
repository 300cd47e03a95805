"""`trunkline apply`: the configuration to the HAProxy that the service manager runs. Owns words and exit codes only."""

import asyncio
from typing import Annotated

import typer

from trunkline.cli.console import err, out
from trunkline.cli.options import ConfigOption, PatroniConfigOption, PatroniOption, ScopeOption, settings_from
from trunkline.operate.apply import apply as apply_prepared
from trunkline.operate.apply import diff, memory_directory, prepare
from trunkline.plan.paths import service_paths


def apply(
    config: ConfigOption = None,
    patroni: PatroniOption = None,
    scope: ScopeOption = None,
    patroni_config: PatroniConfigOption = None,
    check: Annotated[
        bool, typer.Option("--check", help='Change nothing, and say what would: "would change" or "in sync".')
    ] = False,
    with_diff: Annotated[
        bool, typer.Option("--diff", help="Show what changes, line by line; passwords and keys are not shown.")
    ] = False,
) -> None:
    """Write the configuration for the HAProxy of this host and reload it, if anything has changed.

    For hosts where systemd runs HAProxy (haproxy.service): /etc/haproxy/haproxy.cfg unless the settings name another
    place. HAProxy judges the new files first; what it refuses changes nothing, and is shown in its own words.

    Exit code 0: all is as it should be, or with --check: could be. 1: HAProxy refuses it, or it cannot be written.
    2: the settings are wrong.
    """
    settings = settings_from(config, patroni, scope, patroni_config)
    prepared = asyncio.run(prepare(settings, service_paths(settings), memory_directory()))
    for note in prepared.notes:
        err.print(f"trunkline: going on without an answer: {note}", style="yellow", markup=False, soft_wrap=True)
    if with_diff:
        typer.echo(diff(prepared), nl=False)
    for file in prepared.changed:
        out.print(f"{'would change' if check else 'changing'}: {file.path}", markup=False, soft_wrap=True)
    if prepared.is_in_sync:
        out.print("in sync")
    elif check and not prepared.changed:
        out.print("would reload: the files are right, but HAProxy has not read them yet")
    elif not check:
        out.print(asyncio.run(apply_prepared(prepared)), markup=False, soft_wrap=True)
