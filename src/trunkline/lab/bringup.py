"""Bringing the whole lab up, step by step, telling whoever shows it what has really happened."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from trunkline.lab.announcement import announce
from trunkline.lab.balancer import Balancer
from trunkline.lab.cluster import Lab
from trunkline.lab.etcd import start_etcd
from trunkline.lab.health import ClusterHealth, MemberHealth


class Step(StrEnum):
    """What is done, in this order; the text is for people."""

    STORE = "etcd"
    MEMBERS = "PostgreSQL under Patroni"
    BALANCER = "HAProxy, by trunkline run"
    WRITE = "a write through the balancer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a step is: `detail` in words, `is_done` when it is behind us."""

    step: Step
    detail: str
    is_done: bool = False


def bring_up(lab: Lab, balancer: Balancer, tell: Callable[[Progress], None]) -> None:
    """Start everything; back when a write through the balancer has succeeded and lab.json is written."""
    tell(Progress(step=Step.STORE, detail=f"starting on {lab.layout.etcd_host}:{lab.layout.etcd_port}"))
    start_etcd(lab.layout, lab.made.binaries.etcd, lab.processes)
    tell(Progress(step=Step.STORE, detail=f"answers on {lab.layout.etcd_host}:{lab.layout.etcd_port}", is_done=True))
    tell(Progress(step=Step.MEMBERS, detail="starting"))
    lab.start()
    leader = lab.wait_healthy(tick=lambda health: tell(Progress(step=Step.MEMBERS, detail=in_words(health))))
    tell(Progress(step=Step.MEMBERS, detail=f"{leader} leads, {len(lab.members) - 1} stream from it", is_done=True))
    host, port = balancer.address("primary")
    tell(Progress(step=Step.BALANCER, detail="starting"))
    balancer.start()
    tell(Progress(step=Step.BALANCER, detail=f"HAProxy {balancer.haproxy}", is_done=True))
    tell(Progress(step=Step.WRITE, detail=f"trying {host}:{port}"))
    balancer.wait_written()
    balancer.wait_steered()
    announce(lab, balancer)
    tell(Progress(step=Step.WRITE, detail=f"written through {host}:{port}", is_done=True))


def in_words(health: ClusterHealth) -> str:
    """Where each member is on its way, e.g. "pg1 leads, pg2 copies the leader's data, pg3 streams"."""
    return ", ".join(f"{member.name} {_phase(member)}" for member in health.members)


def _phase(member: MemberHealth) -> str:
    if member.takes_writes:
        return "leads"
    if member.role == "uninitialized" and member.state == "stopped":
        return "waits for a leader"
    if member.is_streaming:
        return "streams"
    match member.state:
        case "initializing new cluster" | "running custom bootstrap script":
            return "initialises the cluster"
        case "creating replica":
            return "copies the leader's data"
        case "silent" | "unknown" | "":
            return "starts"
        case other:
            return other
