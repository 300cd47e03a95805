"""Which client is behind a session of PostgreSQL, which only ever sees HAProxy.

PostgreSQL knows HAProxy's port towards it (`client_port` of pg_stat_activity, %r in its log), HAProxy knows both ends.
Workers that a reload has left behind are asked as well: they carry their sessions to the end.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from trunkline.adapters.postgres_activity import find_backend
from trunkline.adapters.runtime_socket import MasterSocket, RuntimeSocket
from trunkline.config.settings import Settings
from trunkline.errors import PostgresError, RuntimeSocketError, TrunklineError
from trunkline.model.client import Backend, Client
from trunkline.model.cluster import Member
from trunkline.model.desired import Paths
from trunkline.model.proxy import Session
from trunkline.operate.places import find_haproxy
from trunkline.operate.status import read_members
from trunkline.wire.names import to_patroni
from trunkline.wire.runtime import Worker

HOLD = "hold"
"""The backup server that leads back to the frontend's second bind."""


async def clients_behind(settings: Settings, number: int, *, is_pid: bool = False) -> tuple[Client, ...]:
    """The sessions with this port towards PostgreSQL, or where there is none (or with `is_pid`) those of the process of
    PostgreSQL with this pid, on any member. At least one. Raises TrunklineError, which says what was found instead."""
    clients = await _all_clients(find_haproxy(settings))
    if not is_pid and (matching := with_port(clients, number)):
        return matching
    backends = await _backends(settings, number)
    found = tuple(replace(client, backend=backend) for backend in backends for client in of_backend(clients, backend))
    if not found:
        raise nothing_found(number, backends, is_pid=is_pid)
    return found


def with_port(clients: Iterable[Client], port: int) -> tuple[Client, ...]:
    """Those that reach PostgreSQL from this port of ours; on several members it may be more than one."""
    return tuple(client for client in clients if client.via.rpartition(":")[2] == str(port))


def of_backend(clients: Iterable[Client], backend: Backend) -> tuple[Client, ...]:
    """The session that this process of PostgreSQL serves."""
    if backend.client_port is None:
        return ()
    return tuple(client for client in with_port(clients, backend.client_port) if client.member == backend.member)


def nothing_found(number: int, backends: Iterable[Backend], *, is_pid: bool) -> TrunklineError:
    """What was found instead."""
    sentences = [_elsewhere(backend) for backend in backends]
    if sentences:
        is_elsewhere = any(backend.client_port is not None for backend in backends)
        return TrunklineError("; ".join(sentences), hint="ask on the host of that address" if is_elsewhere else "")
    port = "" if is_pid else f"no session of this HAProxy reaches PostgreSQL from port {number}, and "
    return TrunklineError(
        f"{port}no member has a process {number}",
        hint="sessions that have ended are in HAProxy's log: look for via=ADDRESS:PORT",
    )


def _elsewhere(backend: Backend) -> str:
    process = f"process {backend.pid} of {backend.member}"
    if backend.client_port is None:
        return f"{process} has no TCP connection: it is PostgreSQL's own, or came over a Unix socket"
    return f"{process} serves {backend.client_address} port {backend.client_port}, which is not through this HAProxy"


async def _all_clients(paths: Paths) -> tuple[Client, ...]:
    admin = RuntimeSocket(paths.admin_socket)
    serving = Worker(pid=(await admin.view()).info.pid, is_old=False)
    carried = [(session, serving) for session in await admin.sessions()]
    if paths.master_socket is not None:
        carried += await _carried_by_old_workers(MasterSocket(paths.master_socket))
    sessions = tuple(session for session, _ in carried)
    return tuple(_client(session, worker, candidates(session, sessions)) for session, worker in carried)


async def _carried_by_old_workers(master: MasterSocket) -> list[tuple[Session, Worker]]:
    """Where there is no master, or it is not ours to ask, or the worker has ended just now, there are none."""
    carried: list[tuple[Session, Worker]] = []
    with suppress(RuntimeSocketError):
        for worker in await master.workers():
            if worker.is_old:
                with suppress(RuntimeSocketError):
                    carried += [(session, worker) for session in await master.sessions(worker)]
    return carried


def candidates(session: Session, sessions: Iterable[Session]) -> tuple[str, ...]:
    """The clients that can be behind a session: its own, or where it came through the hold, those whose sessions lead
    there, began before it, and, if there are such, have carried as much in each direction."""
    if not session.client.startswith("unix:"):
        return (session.client,)
    others = [other for other in sessions if other is not session]
    leading = [it for it in others if it.server == HOLD and it.backend == session.frontend]
    leading = [it for it in leading if it.age_s >= session.age_s]
    carried = session.bytes_sent, session.bytes_received
    alike = [it for it in leading if (it.bytes_sent, it.bytes_received) == carried]
    return tuple(sorted({name for it in alike or leading for name in candidates(it, others)}))


def _client(session: Session, worker: Worker, candidates: tuple[str, ...]) -> Client:
    return Client(
        client=candidates[0] if len(candidates) == 1 else "",
        candidates=candidates,
        service=session.frontend,
        member=to_patroni(session.server),
        via=session.towards_server,
        age_s=session.age_s,
        worker_pid=worker.pid,
        is_old_worker=worker.is_old,
    )


async def _backends(settings: Settings, pid: int) -> tuple[Backend, ...]:
    members = await read_members(settings)
    answers = await asyncio.gather(*(_backend(member, pid) for member in members))
    backends = tuple(answer for answer in answers if isinstance(answer, Backend))
    errors = [answer for answer in answers if isinstance(answer, PostgresError)]
    if not backends and errors:
        told = "\n".join(f"  {error.message}" for error in errors)
        raise PostgresError(f"no member that could be asked has a process {pid}:\n{told}", hint=errors[0].hint)
    return backends


async def _backend(member: Member, pid: int) -> Backend | PostgresError | None:
    try:
        return await find_backend(member.name, member.host, member.port, pid)
    except PostgresError as error:
        return error
