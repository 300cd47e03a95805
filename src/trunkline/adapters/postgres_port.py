"""PostgreSQL's port: whether somebody behind it takes sessions. One startup packet, one answer, one deadline.

Needs no user and no password: PostgreSQL asks for one, or refuses the user, and both are life. What comes after the
first answer is of no interest, and the connection is closed.
"""

import asyncio

from trunkline.model.facts import PortVerdict
from trunkline.wire.startup import SSL_REQUEST, startup_packet, verdict

ANSWER_BYTES = 4096


async def probe(host: str, port: int, *, timeout_s: float) -> PortVerdict:
    """How it took a startup packet within `timeout_s` seconds."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(startup_packet())
                await writer.drain()
                return verdict(await reader.read(ANSWER_BYTES))
            finally:
                writer.close()
    except TimeoutError:
        return PortVerdict.SILENT
    except ConnectionRefusedError:
        return PortVerdict.REFUSED
    except ConnectionError:  # reset before an answer: it was about to end
        return PortVerdict.CLOSING
    except OSError:  # no route to the host
        return PortVerdict.SILENT


async def is_awake(host: str, port: int, *, timeout_s: float) -> bool:
    """Whether somebody there asks which encryption is wished for, or what else, within `timeout_s` seconds. Nothing of
    it is in PostgreSQL's log, unless that has each connection; and it says less than `probe`."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(SSL_REQUEST)
                return bool(await reader.read(1))
            finally:
                writer.close()
    except OSError:  # TimeoutError is one
        return False


async def outlast(host: str, port: int, *, for_s: float) -> bool:
    """Stay connected without a word for so long; whether PostgreSQL has ended it before.

    It does so within milliseconds when its postmaster dies or is asked to shut down, which no question finds out as
    soon. Nothing of it is in PostgreSQL's log, unless that has each connection. Raises OSError where nobody listens.
    """
    writer = None
    try:
        async with asyncio.timeout(for_s):
            reader, writer = await asyncio.open_connection(host, port)
            await reader.read(ANSWER_BYTES)
        return True
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True
    finally:
        if writer is not None:
            writer.close()
