"""One PostgreSQL member under Patroni: starting it, and everything bad that can happen to it.

Knows its own processes and nothing of the cluster. Patroni is found by the table, PostgreSQL by its pid file and by
its working directory (every PostgreSQL process works in the data directory), so that even the orphans of a killed
postmaster are found.
"""

import signal
import sys
from collections.abc import Callable
from enum import StrEnum

import psycopg

from trunkline.errors import LabError
from trunkline.lab.api import Answer, ask
from trunkline.lab.layout import MemberPlace
from trunkline.lab.patroni_config import SUPERUSER
from trunkline.lab.processes import ProcessTable, send, wait_gone, wait_until
from trunkline.lab.procfs import ProcessId, descendants, is_alive, is_stopped, look_up, working_under
from trunkline.lab.record import Record
from trunkline.lab.unprivileged import Disguise

POSTGRES_PROGRAMS = frozenset({"postgres", "pg_basebackup", "pg_rewind", "initdb", "pg_controldata", "pg_ctl"})
SIGNAL_TIMEOUT_S = 5.0


class Condition(StrEnum):
    """How a member's processes are, as the kernel knows it."""

    RUNNING = "running"
    FROZEN = "frozen"
    WITHOUT_PATRONI = "without Patroni"
    DOWN = "down"


class Member:
    """One node of the lab, driven by signals as an operator's worst day would."""

    def __init__(self, place: MemberPlace, made: Record, processes: ProcessTable, disguise: Disguise) -> None:
        self.place = place
        self._passwords = made.passwords
        self._environment = made.binaries.postgres_environment
        self._processes = processes
        self._disguise = disguise

    def __repr__(self) -> str:
        return f"Member({self.place.name}, {self.place.host}:{self.place.port}, patroni={self.patroni})"

    @property
    def name(self) -> str:
        """Its name in Patroni."""
        return self.place.name

    @property
    def patroni(self) -> ProcessId | None:
        """Patroni's process, if it runs."""
        return self._processes.alive(self.name)

    @property
    def postmaster(self) -> ProcessId | None:
        """PostgreSQL's first process, if it runs."""
        try:
            pid = int((self.place.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None
        stat = look_up(pid)
        return stat.id if stat is not None and stat.is_alive and stat.program == "postgres" else None

    @property
    def condition(self) -> Condition:
        """What we have done to its processes, which neither Patroni nor the balancer is told."""
        patroni, postmaster = self.patroni, self.postmaster
        if patroni is None:
            return Condition.DOWN if postmaster is None else Condition.WITHOUT_PATRONI
        return Condition.FROZEN if is_stopped(patroni) else Condition.RUNNING

    def postgres_processes(self) -> list[ProcessId]:
        """Every PostgreSQL process of this member, the postmaster first."""
        postmaster = self.postmaster
        family = [postmaster] if postmaster else []
        by_parent = descendants({process.pid for process in family})
        by_place = working_under(self.place.data_dir, POSTGRES_PROGRAMS)
        family += [stat.id for stat in (*by_parent, *by_place) if stat.id not in family]
        return list(dict.fromkeys(family))

    def everything(self) -> list[ProcessId]:
        """Patroni, what it has started, and all of PostgreSQL; first those that make new ones."""
        patroni = self.patroni
        chain = [patroni] if patroni else []
        chain += [stat.id for stat in descendants({process.pid for process in chain})]
        chain += [stat.id for stat in working_under(self.place.directory, POSTGRES_PROGRAMS)]
        return list(dict.fromkeys(chain + self.postgres_processes()))

    def start(self) -> None:
        """Start Patroni unless it runs; a PostgreSQL that runs already is taken over by it."""
        if self.patroni is not None:
            return
        self._processes.start(
            self.name,
            [*self._disguise.prefix, sys.executable, "-m", "patroni", str(self.place.patroni_config)],
            directory=self.place.directory,
            log=self.place.patroni_log,
            environment=self._environment,
            user=self._disguise.user,
        )

    def kill_postmaster(self) -> None:
        """`kill -9` of the postmaster alone; its children notice, and Patroni starts it again."""
        self._end(self._running(self.postmaster, "PostgreSQL"))

    def kill_patroni(self) -> None:
        """`kill -9` of Patroni; PostgreSQL serves on."""
        self._end(self._running(self.patroni, "Patroni"))

    def kill(self) -> None:
        """The node is lost: Patroni and all of PostgreSQL end within a millisecond of each other."""
        victims = self.everything()
        send(victims, signal.SIGKILL)
        # A backend that was just being forked is not in the list; it dies with its postmaster or is found here.
        remaining = wait_gone(victims, timeout_s=SIGNAL_TIMEOUT_S)
        stragglers = self.everything()
        send(stragglers, signal.SIGKILL)
        if remaining or wait_gone(stragglers, timeout_s=SIGNAL_TIMEOUT_S):
            raise LabError(f"processes of {self.name} survive a SIGKILL")

    def stop(self, *, timeout_s: float = 30.0) -> None:
        """As `systemctl stop patroni`: the leader gives its key away, PostgreSQL shuts down cleanly."""
        self.thaw()
        patroni = self.patroni
        if patroni is not None:
            send([patroni], signal.SIGTERM)
            if wait_gone([patroni], timeout_s=timeout_s):
                raise LabError(
                    f"Patroni of {self.name} did not stop in {timeout_s:.0f} s", hint=f"see {self.place.patroni_log}"
                )
        self.kill()

    def freeze(self) -> None:
        """The node hangs: Patroni and all of PostgreSQL are stopped, the kernel still accepts connections."""
        self._hold_still(self.everything)

    def freeze_patroni(self) -> None:
        """Only Patroni hangs; PostgreSQL serves on."""
        patroni = self._running(self.patroni, "Patroni")
        self._hold_still(lambda: [patroni])

    def thaw_patroni(self) -> None:
        """Patroni goes on where it was."""
        send([self._running(self.patroni, "Patroni")], signal.SIGCONT)

    def thaw(self) -> None:
        """Whatever was frozen goes on."""
        send([process for process in reversed(self.everything()) if is_stopped(process)], signal.SIGCONT)

    def ask(self, path: str, *, timeout_s: float = 2.0) -> Answer:
        """One question to its REST API."""
        return ask(self.place.host, self.place.api_port, path, timeout_s=timeout_s)

    def conninfo(self, database: str = "postgres") -> str:
        """libpq's connection string straight to this member, as the superuser."""
        return (
            f"host={self.place.host} port={self.place.port} dbname={database} user={SUPERUSER} "
            f"password={self._passwords.superuser} connect_timeout=3"
        )

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """A session straight to this member, autocommit."""
        return psycopg.connect(self.conninfo(database), autocommit=True)

    def is_writable(self) -> bool:
        """Whether PostgreSQL itself takes writes here, asked without any balancer or Patroni."""
        try:
            with self.connect() as connection:
                row = connection.execute("select not pg_is_in_recovery()").fetchone()
        except psycopg.Error:
            return False
        return row is not None and bool(row[0])

    def _running(self, process: ProcessId | None, what: str) -> ProcessId:
        if process is None:
            raise LabError(f"{what} of {self.name} does not run")
        return process

    def _end(self, process: ProcessId) -> None:
        """A signal is only sent; on a busy machine its effect comes later."""
        send([process], signal.SIGKILL)
        if wait_gone([process], timeout_s=SIGNAL_TIMEOUT_S):
            raise LabError(f"process {process.pid} of {self.name} survives a SIGKILL")

    def _hold_still(self, family: Callable[[], list[ProcessId]]) -> None:
        """Stop a family until nobody new turns up: what forks is stopped before what it has forked."""

        def all_still() -> bool:
            moving = [process for process in family() if is_alive(process) and not is_stopped(process)]
            send(moving, signal.SIGSTOP)
            return not moving

        if not wait_until(all_still, timeout_s=SIGNAL_TIMEOUT_S):
            raise LabError(f"processes of {self.name} do not stop")
