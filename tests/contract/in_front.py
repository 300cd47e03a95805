"""A socket in front of HAProxy's: whoever opens it sees each line that comes, and says what is answered."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

Answering = Callable[[bytes], Awaitable[bytes]]


async def ask_behind(socket: str, line: bytes) -> bytes:
    """What HAProxy answers to this line; nothing where it is not there."""
    with suppress(OSError):
        from_haproxy, to_haproxy = await asyncio.open_unix_connection(socket)
        to_haproxy.write(line)
        to_haproxy.write_eof()
        answer = await from_haproxy.read()
        to_haproxy.close()
        return answer
    return b""


@asynccontextmanager
async def in_front(socket: Path, answer: Answering) -> AsyncIterator[None]:
    """Every line that comes there is answered so.

    The tasks are held here: of one whose client has said everything, and which waits for another connection, nobody
    knows but itself. Python collects such a cycle at times; then the line is passed on, and its answer is lost.
    """
    serving = set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        with suppress(ConnectionError):
            writer.write(await answer(line))
            await writer.drain()
        writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    server = await asyncio.start_unix_server(begin, socket)
    try:
        yield
    finally:
        server.close()
