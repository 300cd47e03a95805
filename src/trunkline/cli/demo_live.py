"""The live view of the demo: looks, draws, reads keys and acts. What is drawn and what a key means is decided in
`demo_scene` and `demo_keys`; this is the shell around them.

Everything that may take long (asking a frozen node, a switchover) runs in a thread of its own, so that the screen and
the keys never wait.
"""

import os
import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import assert_never

from rich.live import Live

from trunkline.cli.console import out
from trunkline.cli.demo_keys import (
    Act,
    BringBack,
    CutNode,
    Freeze,
    KillPostmaster,
    Quit,
    Select,
    SwitchOver,
    act_for,
    labels,
)
from trunkline.cli.demo_scene import EVENTS_SHOWN, Row, Scene, changes, draw
from trunkline.errors import TrunklineError
from trunkline.lab.announcement import announce
from trunkline.lab.balancer import Balancer
from trunkline.lab.clients import READ, WRITE, LoopingClient
from trunkline.lab.cluster import Lab
from trunkline.lab.health import ClusterHealth

FRAME_S = 0.2
LOOK_EVERY_S = 0.3
ASK_TIMEOUT_S = 0.5


def show_live(lab: Lab, balancer: Balancer) -> None:
    """Until `q`."""
    stage = Stage(lab, balancer)
    stage.start()
    try:
        with _single_keys(), Live(console=out, screen=True, auto_refresh=False) as live:
            while True:
                scene = stage.scene()
                live.update(draw(scene, labels(scene)), refresh=True)
                act = act_for(_read_key(FRAME_S), scene)
                if isinstance(act, Quit):
                    return
                if act is not None:
                    stage.perform(act)
    finally:
        stage.stop()


class Stage:
    """The lab as the view sees it: watched by one thread, acted on by another, written to by clients."""

    def __init__(self, lab: Lab, balancer: Balancer) -> None:
        self._lab = lab
        self._balancer = balancer
        self._writer = LoopingClient(balancer.conninfo("primary"), WRITE, pause_s=0.02)
        self._reader = LoopingClient(balancer.conninfo("replicas"), READ, pause_s=0.1)
        self._is_over = threading.Event()
        self._health = ClusterHealth(members=())
        self._events: list[str] = []
        self._busy = ""
        self._selected = list(lab.members)[-1]

    def start(self) -> None:
        """Watch and write."""
        self._health = self._lab.health(timeout_s=ASK_TIMEOUT_S)
        self._writer.start()
        self._reader.start()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def stop(self) -> None:
        """Begin nothing new."""
        self._is_over.set()
        self._writer.stop()
        self._reader.stop()

    def scene(self) -> Scene:
        """What there is to see now."""
        rows = []
        for health in self._health.members:
            member = self._lab.member(health.name)
            address = f"{member.place.host}:{member.place.port}"
            rows.append(Row(health=health, condition=member.condition, address=address))
        stats_host, stats_port = self._balancer.address("stats")
        return Scene(
            rows=tuple(rows),
            selected=self._selected,
            writer=self._writer.report(),
            reader=self._reader.report(),
            events=tuple(self._events),
            busy=self._busy,
            ports=(self._balancer.address("primary")[1], self._balancer.address("replicas")[1]),
            addresses=(
                ("primary", f'psql "{self._balancer.uri("primary")}"'),
                ("replicas", f'psql "{self._balancer.uri("replicas")}"'),
                ("HAProxy", f"http://{stats_host}:{stats_port}/stats"),
                ("patronictl", " ".join(self._lab.patronictl) + " list"),
            ),
        )

    def perform(self, act: Act) -> None:
        """Do it; what takes long goes on while the screen lives."""
        match act:
            case Select(member=member):
                self._selected = member
            case SwitchOver():
                self._begin("switchover", lambda: f"{self._lab.switchover()} leads")
            case KillPostmaster(member=member):
                self._begin(f"kill -9 of PostgreSQL on {member}", lambda: self._lab.kill_postmaster(member))
            case Freeze(member=member):
                self._begin(f"freezing {member}", lambda: self._lab.freeze_node(member))
            case CutNode(member=member):
                self._begin(f"cutting {member}", lambda: self._lab.kill_node(member))
            case BringBack(members=members):
                self._begin(f"bringing back {', '.join(members)}", lambda: self._bring_back(members))
            case Quit():
                return
            case _:
                assert_never(act)

    def _begin(self, what: str, work: Callable[[], str | None]) -> None:
        self._busy = what
        threading.Thread(target=self._work, args=(what, work), name="act", daemon=True).start()

    def _work(self, what: str, work: Callable[[], str | None]) -> None:
        began = time.monotonic()
        self._note(f"{what} …")
        try:
            result = work()
        except TrunklineError as error:
            self._note(f"{what} failed: {error.message}")
        else:
            self._note(f"{what}: {result or 'done'} after {time.monotonic() - began:.1f} s")
        finally:
            self._busy = ""

    def _bring_back(self, members: tuple[str, ...]) -> None:
        for member in members:
            self._lab.start_node(member)
        announce(self._lab, self._balancer)

    def _watch(self) -> None:
        while not self._is_over.wait(LOOK_EVERY_S):
            before, self._health = self._health, self._lab.health(timeout_s=ASK_TIMEOUT_S)
            for line in changes(before, self._health):
                self._note(line)

    def _note(self, text: str) -> None:
        self._events.append(f"{time.strftime('%H:%M:%S')}  {text}")
        del self._events[:-EVENTS_SHOWN]


def _read_key(timeout_s: float) -> str:
    """The key that was pressed in this time, or nothing."""
    ready, _, _ = select.select([sys.stdin], [], [], timeout_s)
    # Straight from the descriptor: what Python buffers, select does not see.
    return os.read(sys.stdin.fileno(), 1).decode(errors="replace") if ready else ""


@contextmanager
def _single_keys() -> Iterator[None]:
    """Keys arrive one by one and are not echoed; Ctrl-C still is a signal."""
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
