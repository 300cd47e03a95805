"""`trunkline who`: from a session of PostgreSQL to the client behind it. Owns how the answer looks."""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from trunkline.cli.console import out
from trunkline.cli.options import ConfigOption, PatroniConfigOption, PatroniOption, ScopeOption, settings_from
from trunkline.cli.status_picture import printable
from trunkline.model.client import Client
from trunkline.operate.who import clients_behind
from trunkline.plan.reasons import duration


def who(
    number: Annotated[
        int,
        typer.Argument(
            metavar="CLIENT_PORT|PID",
            min=1,
            max=2**31 - 1,
            help="client_port of pg_stat_activity (%r in PostgreSQL's log), or the pid of a process of PostgreSQL.",
        ),
    ],
    is_pid: Annotated[bool, typer.Option("--pid", help="It is a pid, whatever ports there are.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON (docs/who.md).")] = False,
    config: ConfigOption = None,
    patroni: PatroniOption = None,
    scope: ScopeOption = None,
    patroni_config: PatroniConfigOption = None,
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Where `trunkline run` keeps its files.")
    ] = None,
) -> None:
    """Say which client is behind a session of PostgreSQL, which itself only sees HAProxy.

    A pid is looked up on every member, as PGUSER, PGPASSWORD or PGPASSFILE say; a client_port needs none of that.
    """
    settings = settings_from(config, patroni, scope, patroni_config, directory=directory)
    clients = asyncio.run(clients_behind(settings, number, is_pid=is_pid))
    if as_json:
        sys.stdout.write(json.dumps({"clients": [asdict(client) for client in clients]}, indent=2) + "\n")
        return
    for client in clients:
        out.print(printable(sentence(client)), markup=False, soft_wrap=True)


def sentence(client: Client) -> str:
    """One session in one line."""
    whose = client.client or f"one of {', '.join(client.candidates) or 'those that wait'}"
    words = [f"client {whose}", f"through {client.service}", f"on {client.member}", f"via {client.via}"]
    words += [f"for {duration(client.age_s)}"]
    if client.backend is not None:
        backend = client.backend
        words += [f"pid {backend.pid}", f"user {backend.user}", f"database {backend.database}"]
    words += [f"in old worker {client.worker_pid}, which a reload left behind"] if client.is_old_worker else []
    return ", ".join(words)
