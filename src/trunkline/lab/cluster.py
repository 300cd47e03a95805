"""`Lab`: a real Patroni cluster on this machine, brought up, broken, healed and ended by its methods.

The demo, the tests and the benchmark all drive this one class. It knows nothing of HAProxy: the balancer is put in
front of it by `trunkline.lab.balancer`. Everything here blocks and has a deadline; whoever needs an event loop calls
it in a thread.
"""

import secrets
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import yaml

from trunkline.errors import LabError
from trunkline.lab import ending, record
from trunkline.lab.api import Answer, ask
from trunkline.lab.binaries import Binaries, find_binaries
from trunkline.lab.directory import prepare_directory, require_usable
from trunkline.lab.etcd import start_etcd
from trunkline.lab.health import ClusterHealth, judge
from trunkline.lab.layout import Layout, MemberPlace, plan_layout
from trunkline.lab.member import Member
from trunkline.lab.patroni_config import REST_USER, Passwords, dynamic_config, member_config, patronictl_config
from trunkline.lab.ports import require_free, require_free_for
from trunkline.lab.processes import ProcessTable, wait_until
from trunkline.lab.unprivileged import Disguise, find_disguise, hand_over

HEALTHY_TIMEOUT_S = 90.0
SWITCHOVER_TIMEOUT_S = 60.0
POLL_S = 0.1


class Lab:
    """etcd and its members. Make one with `Lab.create(...)`, find a running one with `Lab.attach(...)`."""

    def __init__(self, root: Path, made: record.Record, disguise: Disguise | None = None) -> None:
        self.root = root
        self.made = made
        self.layout: Layout = plan_layout(root, node_count=made.node_count, port_offset=made.port_offset)
        self.processes = ProcessTable(root / ending.TABLE)
        self.disguise = disguise or find_disguise()
        self.members: dict[str, Member] = {
            place.name: Member(place, made, self.processes, self.disguise) for place in self.layout.members
        }

    def __repr__(self) -> str:
        return f"Lab({self.root}, {', '.join(self.members)})"

    @classmethod
    def create(
        cls, root: Path, *, node_count: int = 3, port_offset: int = 0, binaries: Binaries | None = None
    ) -> "Lab":
        """A lab that is all set to start: its directory and configuration are made, its ports are free."""
        root = root.resolve()
        layout = plan_layout(root, node_count=node_count, port_offset=port_offset)
        binaries = binaries or find_binaries()
        disguise = find_disguise()
        require_usable(root)
        require_free(layout)
        made = record.Record(
            node_count=node_count,
            port_offset=port_offset,
            made_directory=prepare_directory(root),
            passwords=_new_passwords(),
            binaries=binaries,
        )
        try:
            lab = cls(root, made, disguise)
            record.save(root, made)
            lab._write_configuration()
        except BaseException:
            ending.remove_files(root, keep_directory=not made.made_directory)
            raise
        return lab

    @classmethod
    def attach(cls, root: Path) -> "Lab":
        """The lab that is in this directory already."""
        root = root.resolve()
        return cls(root, record.load(root))

    def __enter__(self) -> "Lab":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start etcd and every member; back when the processes run, not yet when they serve."""
        start_etcd(self.layout, self.made.binaries.etcd, self.processes)
        for member in self.members.values():
            member.start()

    def stop(self, *, remove: bool = False) -> None:
        """End every process, verified; with `remove`, the files too."""
        ending.end_processes(self.root)
        if remove:
            ending.remove_files(self.root, keep_directory=not self.made.made_directory)

    def heal(self, *, timeout_s: float = HEALTHY_TIMEOUT_S) -> str:
        """Bring everybody back, whatever was done to them; the leader's name once all is well."""
        start_etcd(self.layout, self.made.binaries.etcd, self.processes)
        for member in self.members.values():
            member.thaw()
            member.start()
        # First, since a cluster in pause does not heal.
        wait_until(self._restore_dynamic_config, timeout_s=timeout_s / 4, poll_s=POLL_S)
        if not wait_until(self._is_as_made, timeout_s=timeout_s / 2, poll_s=POLL_S):
            # Who cannot come back by itself is made anew, as an operator would with `patronictl reinit`.
            for name in self.health().unwell:
                self.rebuild(name)
        return self.wait_healthy(timeout_s=timeout_s)

    def rebuild(self, name: str) -> None:
        """Throw a member's data away; it copies the leader's again."""
        member = self.member(name)
        member.kill()
        shutil.rmtree(member.place.data_dir, ignore_errors=True)
        member.start()

    def add_node(self) -> str:
        """One more member, the next of its numbers; its name when its processes run, not yet when it serves."""
        self._resize(self.made.node_count + 1)
        place = self.layout.members[-1]
        require_free_for(place)
        self._write_member(place)
        self.members[place.name] = Member(place, self.made, self.processes, self.disguise)
        self.members[place.name].start()
        return place.name

    def remove_node(self) -> str:
        """End the member that came last, and forget it; the store does when its ttl is over."""
        place = self.layout.members[-1]
        self.members.pop(place.name).stop()
        shutil.rmtree(place.directory)
        self._resize(self.made.node_count - 1)
        return place.name

    # -- what is the case ---------------------------------------------------------------------------------------

    def member(self, name: str) -> Member:
        """The member of that name."""
        return self.members[self.layout.member(name).name]

    def health(self, *, timeout_s: float = 2.0) -> ClusterHealth:
        """What all members say of themselves, asked at once, and the first that answers says of all."""
        with ThreadPoolExecutor(max_workers=len(self.members), thread_name_prefix="health") as pool:
            asked = {
                name: pool.submit(member.ask, "/patroni", timeout_s=timeout_s) for name, member in self.members.items()
            }
            answers = {name: future.result() for name, future in asked.items()}
        listings = (self.members[name].ask("/cluster", timeout_s=timeout_s) for name in answers if answers[name].status)
        return judge(answers, next((listing for listing in listings if listing.status), Answer(status=0)))

    def leader(self) -> str | None:
        """The member that says of itself, backed by a query just run, that it takes writes; None in a gap."""
        return self.health().leader

    def wait_healthy(
        self, *, timeout_s: float = HEALTHY_TIMEOUT_S, tick: Callable[[ClusterHealth], None] | None = None
    ) -> str:
        """The leader's name once there is one and every other member streams from it on its timeline."""
        deadline = time.monotonic() + timeout_s
        while True:
            health = self.health()
            if tick is not None:
                tick(health)
            if health.is_healthy and health.leader is not None:
                return health.leader
            self._complain_about_the_dead()
            if time.monotonic() >= deadline:
                raise LabError(
                    f"the cluster is not healthy after {timeout_s:.0f} s: {health.in_words}",
                    hint=f"see the logs in {self.root / 'members'}",
                )
            time.sleep(POLL_S)

    def wait_writable_direct(self, *names: str, timeout_s: float = HEALTHY_TIMEOUT_S) -> tuple[str, float]:
        """Which of these members (default: any) takes writes first, and when (`time.monotonic`); without a balancer."""
        candidates = [self.member(name) for name in names] or list(self.members.values())
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for member in candidates:
                if member.is_writable():
                    return member.name, time.monotonic()
            time.sleep(0.005)
        raise LabError(f"none of {', '.join(m.name for m in candidates)} takes writes after {timeout_s:.0f} s")

    # -- what can be done to it ---------------------------------------------------------------------------------

    def switchover(self, candidate: str | None = None, *, timeout_s: float = SWITCHOVER_TIMEOUT_S) -> str:
        """A planned switchover through Patroni's REST API; the new leader's name when Patroni says that it is done."""
        leader = self.leader()
        if leader is None:
            raise LabError("there is no leader to switch over from")
        chosen = candidate or next((name for name in self.members if name != leader), None)
        if chosen is None:
            raise LabError("a lab of one node has nobody to switch over to", hint="start it with --nodes 3")
        answer = self.ask_as_admin(
            leader, "POST", "/switchover", {"leader": leader, "candidate": chosen}, timeout_s=timeout_s
        )
        if answer.status != 200:
            raise LabError(
                f"Patroni refused the switchover from {leader} to {chosen}: {answer.text.strip() or 'no answer'}"
            )
        return chosen

    def ask_as_admin(
        self, name: str, method: str, path: str, body: dict[str, object] | None = None, *, timeout_s: float = 10.0
    ) -> Answer:
        """A request to one of Patroni's protected endpoints."""
        place = self.member(name).place
        login = (REST_USER, self.made.passwords.rest_api)
        return ask(place.host, place.api_port, path, method=method, send=body, login=login, timeout_s=timeout_s)

    def kill_postmaster(self, name: str) -> None:
        """`kill -9` of PostgreSQL's first process; Patroni lives."""
        self.member(name).kill_postmaster()

    def kill_patroni(self, name: str) -> None:
        """`kill -9` of Patroni; PostgreSQL lives."""
        self.member(name).kill_patroni()

    def kill_node(self, name: str) -> None:
        """`kill -9` of Patroni and all of PostgreSQL together, as a node that is lost."""
        self.member(name).kill()

    def freeze_node(self, name: str) -> None:
        """SIGSTOP for Patroni and all of PostgreSQL, as a node that hangs."""
        self.member(name).freeze()

    def thaw_node(self, name: str) -> None:
        """The hanging node goes on."""
        self.member(name).thaw()

    def freeze_patroni(self, name: str) -> None:
        """SIGSTOP for Patroni alone; PostgreSQL accepts writes on."""
        self.member(name).freeze_patroni()

    def thaw_patroni(self, name: str) -> None:
        """Patroni goes on."""
        self.member(name).thaw_patroni()

    def start_node(self, name: str) -> None:
        """Bring a node back, whether it was killed, stopped or frozen."""
        self.member(name).thaw()
        self.member(name).start()

    def stop_node(self, name: str) -> None:
        """A clean stop, as `systemctl stop patroni`."""
        self.member(name).stop()

    # -- inner --------------------------------------------------------------------------------------------------

    def _complain_about_the_dead(self) -> None:
        for member in self.members.values():
            if member.patroni is None:
                raise LabError(
                    f"Patroni of {member.name} has ended", hint=f"its last words are in {member.place.patroni_log}"
                )

    def _restore_dynamic_config(self) -> bool:
        """Write it without looking first: what members show of it is up to one HA loop old."""
        return any(self.ask_as_admin(name, "PUT", "/config", dynamic_config()).status == 200 for name in self.members)

    def _is_as_made(self) -> bool:
        seen = [member.ask("/config").body for member in self.members.values()]
        return all(config == dynamic_config() for config in seen) and self.health().is_healthy

    def _write_configuration(self) -> None:
        (self.root / "members").mkdir(mode=0o700)
        for place in self.layout.members:
            self._write_member(place)
        ctl = yaml.safe_dump(patronictl_config(self.layout, self.made.passwords), sort_keys=False)
        record.write_private(self.root / "patronictl.yml", ctl)

    def _write_member(self, place: MemberPlace) -> None:
        place.directory.mkdir(mode=0o700)
        config = member_config(self.layout, place, self.made.passwords, self.made.binaries.postgres_bin_dir)
        record.write_private(place.patroni_config, yaml.safe_dump(config, sort_keys=False))
        hand_over(place.directory, self.disguise)

    def _resize(self, node_count: int) -> None:
        self.layout = plan_layout(self.root, node_count=node_count, port_offset=self.made.port_offset)
        self.made = replace(self.made, node_count=node_count)
        record.save(self.root, self.made)

    @property
    def patronictl(self) -> list[str]:
        """The command that runs patronictl on this lab, from anywhere."""
        script = Path(sys.executable).parent / "patronictl"
        command = [str(script)] if script.exists() else [sys.executable, "-c", "from patroni.ctl import ctl; ctl()"]
        return [*command, "-c", str(self.root / "patronictl.yml")]


def _new_passwords() -> Passwords:
    """Random ones, without characters that would need quoting in a URI or a connection string."""
    superuser, replication, rest_api = (secrets.token_urlsafe(18) for _ in range(3))
    return Passwords(superuser=superuser, replication=replication, rest_api=rest_api)
