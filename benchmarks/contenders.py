"""The balancers: `trunkline run` exactly as users start it, the same without its agent, and HAProxy with the template
that Patroni documents.

All stand in front of the same lab all the time, each on ports of its own. Knows how to start and reach them, nothing
of what is measured.
"""

import signal
from pathlib import Path
from typing import Protocol

import jinja2

from trunkline.lab import Lab
from trunkline.lab.balancer import Balancer
from trunkline.lab.binaries import Binary
from trunkline.lab.patroni_config import SUPERUSER
from trunkline.lab.processes import send, wait_gone
from trunkline.lab.record import write_private

OURS = "trunkline"
ALONE = "checks alone"
BASELINE = "template"
SIDES = (OURS, ALONE, BASELINE)

STOP_TIMEOUT_S = 10.0
ALONE_HOST = "127.0.0.2"
# The template's ports, beside ours.
PORT_STEP = 100
TEMPLATE = Path(__file__).with_name("patroni_template.cfg.j2")


class Contender(Protocol):
    """What a round needs of a balancer."""

    def start(self) -> None:
        """Start it; back before it listens."""

    def stop(self) -> None:
        """End it; back when it has ended."""

    def conninfo(self) -> str:
        """libpq's connection string to its port for writes."""


class TemplateBalancer:
    """HAProxy with the documented template in front of a lab."""

    def __init__(self, lab: Lab, haproxy: Binary) -> None:
        self.lab = lab
        self.haproxy = haproxy
        self.directory = lab.root / BASELINE
        self.listen = {service: (host, port + PORT_STEP) for service, (host, port) in lab.layout.listen.items()}

    def __repr__(self) -> str:
        return f"TemplateBalancer({self.directory}, HAProxy {self.haproxy})"

    def conninfo(self) -> str:
        """libpq's connection string to its port for writes, as the superuser."""
        host, port = self.listen["primary"]
        password = self.lab.made.passwords.superuser
        return f"host={host} port={port} dbname=postgres user={SUPERUSER} password={password}"

    def config(self) -> str:
        """The template, its addresses filled in."""
        environment = jinja2.Environment(
            undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True, autoescape=False
        )
        return environment.from_string(TEMPLATE.read_text()).render(
            listen={service: f"{host}:{port}" for service, (host, port) in self.listen.items()},
            members=self.lab.layout.members,
        )

    def start(self) -> None:
        """Start HAProxy in the foreground, as a process that the lab ends with itself."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        config = self.directory / "haproxy.cfg"
        write_private(config, self.config())
        self.lab.processes.start(
            BASELINE,
            [str(self.haproxy.path), "-db", "-f", str(config)],
            directory=self.directory,
            log=self.directory / "haproxy.log",
        )

    def stop(self) -> None:
        """SIGTERM, which ends it at once, sessions and all."""
        process = self.lab.processes.alive(BASELINE)
        if process is not None:
            send([process], signal.SIGTERM)
            send(wait_gone([process], timeout_s=STOP_TIMEOUT_S), signal.SIGKILL)


def contenders(lab: Lab, haproxy: Binary) -> dict[str, Contender]:
    """All, by name, with the same HAProxy."""
    return {
        OURS: Balancer(lab, haproxy, has_agent=True),
        ALONE: Balancer(lab, haproxy, name="alone", host=ALONE_HOST),
        BASELINE: TemplateBalancer(lab, haproxy),
    }
