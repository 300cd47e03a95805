"""One question to PostgreSQL itself: who is this process of yours?

As libpq is configured where the command runs (PGUSER, PGPASSWORD, PGPASSFILE, PGSSLMODE, ...), but for where to connect
to. Errors of psycopg become `PostgresError`.
"""

import asyncio
import os
from ipaddress import ip_address

import psycopg

from trunkline.errors import PostgresError
from trunkline.model.client import Backend

TIMEOUT_S = 5

QUERY = """
select host(client_addr), client_port, usename, datname, application_name, query = '<insufficient privilege>'
from pg_catalog.pg_stat_activity where pid = %s
"""


async def find_backend(member: str, host: str, port: int, pid: int) -> Backend | None:
    """The process with this pid on this member; None where there is none. Raises PostgresError."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            row = await _ask(host, port, pid)
    except TimeoutError:
        raise PostgresError(
            f"{member} ({host}:{port}) gave no answer within {TIMEOUT_S} s", hint="is its PostgreSQL up and reachable?"
        ) from None
    except psycopg.Error as error:
        raise PostgresError(
            f"{member} ({host}:{port}) cannot be asked: {' '.join(str(error).split())}",
            hint="set PGUSER and PGPASSWORD or PGPASSFILE, as for psql, for a role with pg_monitor",
        ) from error
    if row is None:
        return None
    address, client_port, user, database, application, is_hidden = row
    if is_hidden:
        raise PostgresError(
            f"{member} hides the sessions of others from this role", hint="connect as a member of pg_monitor"
        )
    return Backend(
        member=member,
        pid=pid,
        client_address=address or "",
        client_port=client_port if client_port is not None and client_port > 0 else None,
        user=user or "",
        database=database or "",
        application_name=application or "",
    )


async def _ask(
    host: str, port: int, pid: int
) -> tuple[str | None, int | None, str | None, str | None, str, bool] | None:
    async with await psycopg.AsyncConnection.connect(
        host=host,
        hostaddr=host if _is_address(host) else None,  # PGHOSTADDR would lead elsewhere
        port=port,
        dbname=os.environ.get("PGDATABASE", "postgres"),
        application_name="trunkline who",
        connect_timeout=TIMEOUT_S,
        autocommit=True,
    ) as connection:
        cursor = await connection.execute(QUERY, (pid,))
        row = await cursor.fetchone()
    return None if row is None else tuple(row)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
