"""`python -m benchmarks rest`: what stands beside a cluster where nothing happens, and nobody connects.

A real cluster of three, with `trunkline run` in front of it, the same without its agent, and HAProxy with the
documented template, all at once. Owns which processes are measured.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.contenders import ALONE, BASELINE, OURS, contenders
from benchmarks.reroute import running_lab
from benchmarks.sheets import Sheet, finish, machine, megabytes, say, share
from benchmarks.usage import Meter, Usage, load_average
from trunkline.errors import HAProxyError, LabError
from trunkline.lab import Lab
from trunkline.lab.balancer import Balancer
from trunkline.lab.binaries import DEMO_HINT, Binary, find_haproxies
from trunkline.lab.procfs import ProcessId, descendants, look_up

WARM_UP_S = 20.0
"""From the first answer on: what a start has needed is over, and given back."""

LEAST_WINDOW_S = 60.0
AGENT = "trunkline: agent"
SUPERVISOR = "trunkline: supervisor"
HAPROXY = "trunkline: HAProxy"
ALONE_SUPERVISOR, ALONE_HAPROXY = f"{ALONE}: supervisor", f"{ALONE}: HAProxy"
TEMPLATE_HAPROXY = f"{BASELINE}: HAProxy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Some processes over one window, and how many they are."""

    name: str
    processes: int
    usage: Usage


def rest(
    window_s: Annotated[
        float, typer.Option(min=LEAST_WINDOW_S, metavar="S", help="How long is measured.")
    ] = LEAST_WINDOW_S,
    out_directory: Annotated[Path, typer.Option("--out", metavar="DIR", help="For results.json and tables.md.")] = Path(
        "bench-results/rest"
    ),
) -> None:
    """CPU and memory at rest, in front of a real cluster of three.

    The agent, the supervisor and HAProxy of `trunkline run`; the same without an agent; HAProxy with the template that
    Patroni documents. All of them check or ask the same members in the same minute.
    """
    found = find_haproxies()
    if not found:
        raise HAProxyError("no HAProxy found", hint=DEMO_HINT)
    with running_lab() as lab:
        about = machine(haproxy=str(found[0]), members=len(lab.members), window_s=window_s)
        say(f"at rest for {WARM_UP_S + window_s:.0f} s, with HAProxy {found[0]}")
        measured = _measure(lab, found[0], window_s)
        load = load_average()
    content = {"machine": {**about, "load_average_after": load}, "measured": measured}
    finish(out_directory, [table(measured, len(lab.members))], content, why_broken(measured))


def _measure(lab: Lab, haproxy: Binary, window_s: float) -> tuple[Measured, ...]:
    everybody = contenders(lab, haproxy)
    for contender in everybody.values():
        contender.start()
    ours, alone = everybody[OURS], everybody[ALONE]
    assert isinstance(ours, Balancer)
    assert isinstance(alone, Balancer)
    for balancer in (ours, alone):
        balancer.wait_written()
        balancer.wait_steered()
    time.sleep(WARM_UP_S)
    processes = _processes(lab, ours, alone)
    meters = {name: Meter(some) for name, some in processes.items()}
    time.sleep(window_s)
    measured = tuple(
        Measured(name=name, processes=len(processes[name]), usage=meter.read()) for name, meter in meters.items()
    )
    for contender in everybody.values():
        contender.stop()
    return measured


def _processes(lab: Lab, ours: Balancer, alone: Balancer) -> Mapping[str, list[ProcessId]]:
    agent, template = ours.agent, lab.processes.alive(BASELINE)
    if agent is None or template is None:
        raise LabError("the agent or the template's HAProxy does not run")
    return {
        AGENT: [agent],
        SUPERVISOR: _of(ours.pid),
        HAPROXY: _haproxies(ours),
        ALONE_SUPERVISOR: _of(alone.pid),
        ALONE_HAPROXY: _haproxies(alone),
        TEMPLATE_HAPROXY: [template, *(it.id for it in descendants({template.pid}))],
    }


def _of(pid: int | None) -> list[ProcessId]:
    stat = look_up(pid) if pid is not None else None
    return [stat.id] if stat is not None else []


def _haproxies(balancer: Balancer) -> list[ProcessId]:
    """Its master and its workers."""
    known = ((it, look_up(it.pid)) for it in balancer.processes())
    return [process for process, stat in known if stat is not None and stat.program == "haproxy"]


def table(measured: Sequence[Measured], members: int) -> Sheet:
    """One row for each."""
    rows = tuple(
        (
            it.name,
            str(it.processes),
            share(it.usage.cpu_share),
            megabytes(it.usage.memory.rss),
            megabytes(it.usage.memory.pss),
        )
        for it in measured
    )
    title = f"at rest, {members} members, {measured[0].usage.window_s:.0f} s"
    return Sheet(title=title, columns=("processes", "CPU, of one core", "RSS", "PSS"), rows=rows)


def why_broken(measured: Sequence[Measured]) -> str | None:
    """Why this run proves nothing: who is known to work has not worked, so the clock does not count."""
    shares = {it.name: it.usage.cpu_share for it in measured}
    for name in (AGENT, HAPROXY, ALONE_HAPROXY, TEMPLATE_HAPROXY):
        if shares[name] <= 0:
            return f"{name} has used no CPU at all, though it asks its members again and again"
    if shares[ALONE_HAPROXY] <= shares[TEMPLATE_HAPROXY]:
        return "checks four times a second have cost no more than the template's every three seconds"
    return None
