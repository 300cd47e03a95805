"""`trunkline demo`: a real cluster on this machine, in front of you; `trunkline demo stop` ends it.

Owns what is said and when; the work is `trunkline.lab`. Whatever happens between the first process and the last word,
nothing of the lab keeps running, unless `--detach` asks for exactly that.
"""

import importlib.metadata
import os
import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from trunkline.cli.console import err, out
from trunkline.cli.demo_live import show_live
from trunkline.cli.demo_progress import ProgressBoard
from trunkline.errors import HAProxyError, TrunklineError
from trunkline.lab.announcement import FILE
from trunkline.lab.balancer import Balancer
from trunkline.lab.binaries import DEMO_HINT, find_binaries
from trunkline.lab.bringup import bring_up
from trunkline.lab.cluster import Lab
from trunkline.lab.ending import FACE, end_lab
from trunkline.lab.interruption import Interrupted, Interruption, interruptible
from trunkline.lab.patroni_config import LOOP_WAIT_S, TTL_S

DEFAULT_DIR = Path("demo")

app = typer.Typer(invoke_without_command=True)


@app.callback()
def demo(
    context: typer.Context,
    directory: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Where all of the demo lives; it is removed at the end.")
    ] = DEFAULT_DIR,
    nodes: Annotated[int, typer.Option("--nodes", metavar="N", help="How many PostgreSQL members.")] = 3,
    port_offset: Annotated[
        int, typer.Option("--port-offset", metavar="N", help="Added to every port, where the usual ones are taken.")
    ] = 0,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once it works and leave it running; end it with `demo stop`.")
    ] = False,
    no_agent: Annotated[
        bool, typer.Option("--no-agent", help="HAProxy with its own checks alone, to compare.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print lab.json on stdout once it works.")] = False,
) -> None:
    """Show a real Patroni cluster behind HAProxy, on this machine, from pip wheels alone.

    etcd on 127.0.0.10, PostgreSQL under Patroni on 127.0.0.11, .12, ... and HAProxy on 127.0.0.1: port 5000 leads to
    the primary, 5001 to the replicas, 7000 to HAProxy's own page. It needs no root and no container. All of it lives
    in DIR and is gone when the demo ends; DIR/lab.json says how to reach everything. A fail-over takes less time than
    with Patroni's defaults: ttl is 20 s instead of 30, loop_wait 2 s instead of 10.
    """
    if context.invoked_subcommand is not None:
        return
    try:
        with interruptible() as interruption:
            _run(interruption, directory, nodes, port_offset, detach=detach, as_json=as_json, has_agent=not no_agent)
    except Interrupted as interrupted:
        err.print("interrupted; no process and no file of the demo is left")
        raise typer.Exit(128 + interrupted.number) from None


@app.command()
def stop(
    context: typer.Context,
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="The directory of the demo.", show_default="demo")
    ] = None,
) -> None:
    """End a demo, in whatever state it is, and remove its directory."""
    place = directory or (context.parent.params["directory"] if context.parent else DEFAULT_DIR)
    end_lab(place.resolve())
    err.print(f"the demo in {place} has ended; no process and no file of it is left", markup=False, soft_wrap=True)


def _run(
    interruption: Interruption,
    directory: Path,
    nodes: int,
    port_offset: int,
    *,
    detach: bool,
    as_json: bool,
    has_agent: bool,
) -> None:
    lab: Lab | None = None
    is_left_running = has_failed = False
    try:
        binaries = find_binaries()
        if binaries.haproxy is None:
            raise HAProxyError("no HAProxy found", hint=f"{DEMO_HINT}, or name it in TRUNKLINE_HAPROXY")
        with interruption.shielded():
            lab = Lab.create(directory, node_count=nodes, port_offset=port_offset, binaries=binaries)
            lab.processes.adopt(FACE, os.getpid())
        balancer = Balancer(lab, binaries.haproxy, has_agent=has_agent)
        _say_parts(lab)
        with ProgressBoard(err) as board:
            bring_up(lab, balancer, board.tell)
        _say_how_to_reach(lab, balancer)
        if as_json:
            out.print((lab.root / FILE).read_text(), end="", markup=False, soft_wrap=True)
        if detach:
            is_left_running = True
            err.print(f"It runs on; end it with: trunkline demo stop --dir {directory}", markup=False, soft_wrap=True)
        else:
            _stay(lab, balancer, with_view=_has_terminal() and not as_json)
    except TrunklineError as error:
        has_failed = True
        if lab is not None:
            error.hint = f"{error.hint}; everything has been stopped, the logs are kept in {lab.root}".lstrip("; ")
        raise
    finally:
        if lab is not None and not is_left_running:
            with interruption.shielded():
                lab.stop(remove=not has_failed)


def _stay(lab: Lab, balancer: Balancer, *, with_view: bool) -> None:
    """Until somebody has seen enough; being interrupted is the normal end."""
    with suppress(Interrupted):
        if with_view:
            show_live(lab, balancer)
        else:
            err.print("It runs until it is interrupted (Ctrl-C).")
            signal.pause()
    err.print("Stopping.")


def _has_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _say_parts(lab: Lab) -> None:
    parts = lab.made.binaries
    patroni = importlib.metadata.version("patroni")
    for line in (
        f"HAProxy {parts.haproxy}, PostgreSQL {parts.postgres}, Patroni {patroni} (pip), etcd {parts.etcd}",
        f"Running as {lab.disguise.words}, all of it in {lab.root}",
        f"Patroni fails over sooner than with its defaults: ttl {TTL_S} s, loop_wait {LOOP_WAIT_S} s",
    ):
        err.print(line, markup=False, soft_wrap=True)


def _say_how_to_reach(lab: Lab, balancer: Balancer) -> None:
    host, port = balancer.address("stats")
    for line in (
        f'primary   psql "{balancer.uri("primary")}"',
        f'replicas  psql "{balancer.uri("replicas")}"',
        f"HAProxy   http://{host}:{port}/stats",
        f"status    trunkline status --config {shlex.quote(str(balancer.settings))}",
        f"history   trunkline history --config {shlex.quote(str(balancer.settings))}",
        f"all else  {lab.root / FILE}",
    ):
        err.print(line, markup=False, soft_wrap=True)
