"""The balancer of the lab: `trunkline run` as a child, with settings of one cluster, as anybody would run it.

The lab gets no private way in: what the demo shows and the tests measure is the product's own command. Knows where
the command keeps its files, and which HAProxy it shall take; nothing of what it decides.
"""

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
import yaml

from trunkline.errors import HAProxyError, LabError
from trunkline.lab.binaries import Binary
from trunkline.lab.cluster import Lab
from trunkline.lab.patroni_config import SUPERUSER
from trunkline.lab.processes import send, wait_gone, wait_until
from trunkline.lab.procfs import ProcessId, descendants, look_up, working_under
from trunkline.lab.record import write_private

NAME = "balancer"
RUN = (sys.executable, "-m", "trunkline", "run")
START_TIMEOUT_S = 40.0
PATIENCE_S = 1.0
STOP_TIMEOUT_S = 15.0
LAST_WORDS = 12


class Balancer:
    """`trunkline run` in front of a lab, on 127.0.0.1:5000, 5001 and 7000 plus the lab's port offset.

    A second one beside it needs a `name` and a host (of loopback) of its own. `extra` is merged into its settings.
    """

    def __init__(
        self,
        lab: Lab,
        haproxy: Binary,
        command: Sequence[str] = RUN,
        *,
        name: str = NAME,
        host: str | None = None,
        extra: Mapping[str, Any] | None = None,
        has_agent: bool = False,
    ) -> None:
        self.lab = lab
        self.haproxy = haproxy
        self.name = name
        self._command = command
        self._host = host
        self._extra = extra or {}
        self.has_agent = has_agent
        is_only = name == NAME
        self.directory = lab.layout.balancer_dir if is_only else lab.root / name
        self.settings = lab.root / ("trunkline.yml" if is_only else f"{name}.yml")

    def __repr__(self) -> str:
        return f"Balancer({self.directory}, HAProxy {self.haproxy}, pid={self.pid})"

    @property
    def pid(self) -> int | None:
        """The supervisor, if it runs."""
        process = self.lab.processes.alive(self.name)
        return process.pid if process else None

    @property
    def haproxy_pid(self) -> int | None:
        """HAProxy's master process, if it runs."""
        process = _noted(self.haproxy_pid_file)
        return process.pid if process else None

    @property
    def haproxy_pid_file(self) -> Path:
        """Where HAProxy's master notes its pid, each time that one is started."""
        return self.directory / "haproxy.pid"

    @property
    def agent(self) -> ProcessId | None:
        """The agent, if one runs."""
        return _noted(self.agent_pid_file)

    @property
    def agent_pid_file(self) -> Path:
        """Where the agent that steers notes its pid."""
        return self.directory / "agent.lock"

    @property
    def config(self) -> Path:
        """The configuration that HAProxy runs with."""
        return self.directory / "haproxy.cfg"

    @property
    def admin_socket(self) -> Path:
        """HAProxy's Runtime API."""
        return self.directory / "admin.sock"

    @property
    def log(self) -> Path:
        """What the supervisor and HAProxy say."""
        return self.directory / "run.log"

    def address(self, service: str) -> tuple[str, int]:
        """Where clients connect: "primary", "replicas" or "stats"."""
        host, port = self.lab.layout.listen[service]
        return self._host or host, port

    def conninfo(self, service: str = "primary", database: str = "postgres") -> str:
        """libpq's connection string through the balancer, as the superuser."""
        host, port = self.address(service)
        password = self.lab.made.passwords.superuser
        return f"host={host} port={port} dbname={database} user={SUPERUSER} password={password}"

    def uri(self, service: str = "primary") -> str:
        """The same as a URI, for people to paste."""
        host, port = self.address(service)
        return f"postgresql://{SUPERUSER}:{self.lab.made.passwords.superuser}@{host}:{port}/postgres"

    def write_settings(self) -> None:
        """The settings file, as short as a user's would be."""
        binds: dict[str, dict[str, Any]] = {
            service: {"bind": ["{}:{}".format(*self.address(service))]} for service in self.lab.layout.listen
        }
        stats = binds.pop("stats")
        binds["replicas"] |= {"slow_start_s": 0}  # here everybody comes and goes all the time
        settings: dict[str, Any] = {
            # Named here too, so that `trunkline status --config` finds the balancer.
            "directory": str(self.directory),
            "patroni": [place.api_url for place in self.lab.layout.members],
            "dcs": {"etcd": {"hosts": [self.lab.layout.etcd_url]}},
            "services": binds,
            "stats": stats,
            "haproxy": {"binary": str(self.haproxy.path)},
        }
        settings["agent"] = {"enabled": self.has_agent}
        write_private(self.settings, yaml.safe_dump(_merged(settings, self._extra), sort_keys=False))

    def start(self) -> None:
        """Start `trunkline run`; back when the process runs, not yet when it listens."""
        if self.pid is not None:
            return
        self.directory.mkdir(mode=0o700, exist_ok=True)
        self.write_settings()
        self.lab.processes.start(
            self.name,
            [*self._command, "--config", str(self.settings), "--dir", str(self.directory)],
            directory=self.directory,
            log=self.log,
        )

    def wait_written(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Back when a write through the primary's port has succeeded."""

        def has_written_or_died() -> bool:
            return self.pid is None or self._can_write()

        in_time = wait_until(has_written_or_died, timeout_s=timeout_s, poll_s=0.05)
        if self.pid is None:
            raise HAProxyError(f"the balancer ended at once: {self._last_words()}", hint=f"see {self.log}")
        if not in_time:
            host, port = self.address("primary")
            raise LabError(f"no write through {host}:{port} in {timeout_s:.0f} s", hint=f"see {self.log}")

    def wait_steered(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Back when the agent runs, where there is to be one."""
        if self.has_agent and not wait_until(lambda: self.agent is not None, timeout_s=timeout_s, poll_s=0.02):
            raise LabError(f"no agent within {timeout_s:.0f} s", hint=f"see {self.log}")

    def processes(self) -> list[ProcessId]:
        """The supervisor, the agent, HAProxy's master and workers, old ones of a reload included."""
        supervisor = self.lab.processes.alive(self.name)
        family = [supervisor] if supervisor else []
        family += [stat.id for stat in descendants({process.pid for process in family})]
        return list(dict.fromkeys(family + [s.id for s in working_under(self.directory, frozenset({"haproxy"}))]))

    def stop(self) -> None:
        """SIGTERM, and a second one to those who would wait for their sessions; then by force. Nothing is left."""
        supervisor = self.lab.processes.alive(self.name)
        if supervisor is not None:
            send([supervisor], signal.SIGTERM)
            send(wait_gone([supervisor], timeout_s=PATIENCE_S), signal.SIGTERM)
            wait_gone([supervisor], timeout_s=STOP_TIMEOUT_S)
        remaining = self.processes()
        send(remaining, signal.SIGKILL)
        if wait_gone(remaining, timeout_s=STOP_TIMEOUT_S) or self.processes():
            raise LabError("the balancer does not end", hint=f"see {self.log}")

    def _can_write(self) -> bool:
        try:
            with psycopg.connect(self.conninfo(), autocommit=True, connect_timeout=5) as connection:
                connection.execute("create table if not exists trunkline_demo (at timestamptz not null default now())")
                connection.execute("insert into trunkline_demo default values")
        except psycopg.Error:
            return False
        return True

    def _last_words(self) -> str:
        try:
            return " / ".join(self.log.read_text(errors="replace").strip().splitlines()[-LAST_WORDS:])
        except OSError:
            return "it said nothing"


def _noted(file: Path) -> ProcessId | None:
    """The process whose pid is in this file, if it runs."""
    try:
        pid = int(file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    stat = look_up(pid)
    return stat.id if stat is not None and stat.is_alive else None


def _merged(settings: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Both, mappings within mappings merged; `extra` wins."""
    merged = dict(settings)
    for key, value in extra.items():
        known = merged.get(key)
        merged[key] = _merged(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return merged
