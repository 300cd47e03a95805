"""`python -m benchmarks reroute`: role changes behind ours, ours without its agent, and the documented template.

Owns the options, the order of the rounds, and the lab's beginning and end.
"""

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import plot, report
from benchmarks.contenders import SIDES, contenders
from benchmarks.rounds import Round, play
from benchmarks.summary import why_broken
from trunkline.adapters import haproxy_binary
from trunkline.cli.console import err, out
from trunkline.errors import HAProxyError, TrunklineError
from trunkline.lab import Lab
from trunkline.lab.binaries import DEMO_HINT, Binary, find_haproxies
from trunkline.lab.faults import FROZEN_NODE, KILLED_POSTMASTER, LOST_NODE, SWITCHOVER, Fault
from trunkline.lab.layout import plan_layout
from trunkline.lab.ports import free_offset

# A demo starts at 0 and the tests at 9000; all may run at once, if not to the benefit of the numbers.
FIRST_OFFSET = 19_000
ROUND_TAKES_S = 25
ROUNDS = 10
PLACE = Path("bench-results/reroute")


class FaultName(StrEnum):
    """What `--fault` takes."""

    SWITCHOVER = "switchover"
    KILL = "kill"
    NODE_LOSS = "node-loss"
    FREEZE = "freeze"


FAULTS: dict[FaultName, Fault] = {
    FaultName.SWITCHOVER: SWITCHOVER,
    FaultName.KILL: KILLED_POSTMASTER,
    FaultName.NODE_LOSS: LOST_NODE,
    FaultName.FREEZE: FROZEN_NODE,
}


def takes_s(rounds: int) -> int:
    """About how long so many rounds of everything take, with one HAProxy."""
    return rounds * len(FAULTS) * len(SIDES) * ROUND_TAKES_S


def reroute(
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="How often each fault meets each balancer.")] = ROUNDS,
    clients: Annotated[int, typer.Option(min=1, max=80, metavar="N", help="Loops of connect, write, close.")] = 12,
    fault: Annotated[list[FaultName] | None, typer.Option(help="Repeatable.", show_default="all")] = None,
    haproxy: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The HAProxy of all sides.", show_default="the newest there is")
    ] = None,
    all_haproxies: Annotated[
        bool, typer.Option("--all-haproxies", help="One after the other, every HAProxy there is.")
    ] = False,
    out_directory: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="For results.json, tables.md and the plots.")
    ] = PLACE,
) -> None:
    """Compare `trunkline run` with the HAProxy template that Patroni documents, on a real cluster on this machine.

    All stand in front of the same three members: ours, the same without its agent, and the template. Each fault is
    done once with the clients on each of them, and who comes first changes from round to round. `kill` is kill -9 of
    the primary's postmaster, `node-loss` of everything on its node, `freeze` is SIGSTOP for all of that. A run in which
    the template does not show its known failure is broken, and exits 1.
    """
    chosen = _choose(haproxy, with_all=all_haproxies)
    faults = [FAULTS[name] for name in dict.fromkeys(fault or FAULTS)]
    # A polite end is asked for as Ctrl-C is, so that there is one way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        broken = _run(chosen, faults, out_directory, rounds=rounds, clients=clients)
    except KeyboardInterrupt:
        _say(f"interrupted; nothing of the lab is left, the rounds until now are in {out_directory}")
        raise typer.Exit(128 + signal.SIGINT) from None
    if broken:
        raise TrunklineError(
            f"the benchmark is broken: {broken}",
            hint="it takes 10 to 20 clients that get their turn: try more rounds, or a calmer machine",
        )


def _run(
    chosen: tuple[Binary, ...], faults: list[Fault], out_directory: Path, *, rounds: int, clients: int
) -> str | None:
    """Play everything, show and write what came of it; why it proves nothing, if so."""
    with running_lab() as lab:
        taken_at = datetime.now(UTC).isoformat(timespec="seconds")
        machine = report.describe(lab, chosen, clients=clients, taken_at=taken_at)
        played: list[Round] = []
        total = len(chosen) * rounds * len(faults) * len(SIDES)
        _say(
            f"{total} rounds, about {total * ROUND_TAKES_S / 60:.0f} min (fewer: --rounds N, --fault NAME), "
            f"{clients} clients; {', '.join(map(str, chosen))}"
        )
        for each in _play_all(lab, chosen, faults, rounds=rounds, clients=clients):
            played.append(each)
            _say(f"{len(played)}/{total} {report.round_in_words(each)}")
            report.save(out_directory, machine, played)
    for drawn in report.tables(played):
        out.print(drawn)
    plots = plot.draw(out_directory, machine, played)
    _say(f"written: {out_directory}: results.json, tables.md, {', '.join(path.name for path in plots)}")
    return why_broken(played)


@contextmanager
def running_lab() -> Iterator[Lab]:
    """A healthy cluster; afterwards nothing of it is left, however the block ends."""
    # Not TMPDIR, whose path may be too long for unix sockets.
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as place:
        root = Path(place)
        lab = Lab.create(root, port_offset=free_offset(plan_layout(root, port_offset=FIRST_OFFSET)))
        try:
            lab.start()
            lab.wait_healthy()
            yield lab
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            lab.stop(remove=True)


def _play_all(
    lab: Lab, haproxies: tuple[Binary, ...], faults: list[Fault], *, rounds: int, clients: int
) -> Iterator[Round]:
    for haproxy in haproxies:
        everybody = contenders(lab, haproxy)
        for contender in everybody.values():
            contender.start()
        for number in range(1, rounds + 1):
            for position, fault in enumerate(faults):
                shift = (number + position) % len(SIDES)
                order = SIDES[shift:] + SIDES[:shift]
                for place, side in enumerate(order, start=1):
                    lab.heal()
                    change, measures = asyncio.run(play(everybody[side], lab, fault, clients))
                    yield Round(
                        haproxy=".".join(map(str, haproxy.version)),
                        fault=fault.name,
                        side=side,
                        number=number,
                        place=place,
                        old=change.old,
                        new=change.new,
                        load_average=round(os.getloadavg()[0], 2),
                        measures=measures,
                    )
        for contender in everybody.values():
            contender.stop()


def _choose(named: Path | None, *, with_all: bool) -> tuple[Binary, ...]:
    if named is not None:
        return (Binary(path=named, version=haproxy_binary.ask(named).version, source="--haproxy"),)
    found = find_haproxies()
    if not found:
        raise HAProxyError("no HAProxy found", hint=f"{DEMO_HINT}, or name it with --haproxy")
    return found if with_all else found[:1]


def _say(text: str) -> None:
    err.print(text, markup=False, soft_wrap=True)
