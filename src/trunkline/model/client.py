"""Who is behind a session of PostgreSQL: both ends of a connection that HAProxy joins.

Values only. Names of fields are the keys of `trunkline who --json` (docs/who.md): added to, never renamed.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A process of PostgreSQL, as `pg_stat_activity` shows it. `client_port`: None for a connection over a Unix socket
    and for processes of PostgreSQL's own."""

    member: str
    pid: int
    client_address: str
    client_port: int | None
    user: str
    database: str
    application_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One session through HAProxy.

    `client`: the client's "address:port". A session that was caught between two attempts to connect came through the
    hold, and HAProxy does not say whose it is: `candidates` are those that can be meant, and with more than one of them
    `client` is "". `via`: HAProxy's own "address:port" towards PostgreSQL. `worker_pid`: the process of HAProxy that
    carries it; `is_old_worker`: a reload left that one behind. `backend`: the process of PostgreSQL, where it was
    asked for.
    """

    client: str
    service: str
    member: str
    via: str
    age_s: int
    worker_pid: int
    is_old_worker: bool
    candidates: tuple[str, ...] = ()
    backend: Backend | None = None
