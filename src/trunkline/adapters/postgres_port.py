"""PostgreSQL's port: whether somebody behind it takes sessions. One startup packet, one answer, one deadline.

Needs no user and no password: PostgreSQL asks for one, or refuses the user, and both are life. What comes after the
first answer is of no interest, and the connection is closed.
"""

import asyncio

from trunkline.model.facts import PortVerdict
from trunkline.wire.startup import startup_packet, verdict

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
