"""A question of HTTP/1.0 to an address: what needs more is told apart, whatever comes is an answer or an error."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from trunkline.adapters import short_http
from trunkline.adapters.short_http import (
    CROWD,
    MOST_BYTES,
    NoAnswerError,
    NotHttpError,
    Questions,
    TooMuchError,
    UnreachedError,
    parse,
    place_of,
)

ANSWER = b"HTTP/1.0 200 OK\r\nServer: BaseHTTP/0.6\r\n\r\n{}"


@pytest.mark.parametrize(
    ("url", "where", "first"),
    [
        ("http://10.0.0.1:8008/primary", ("10.0.0.1", 8008), b"GET /primary HTTP/1.0\r\nHost: 10.0.0.1:8008"),
        ("http://10.0.0.1/a?b=c", ("10.0.0.1", 80), b"GET /a?b=c HTTP/1.0\r\nHost: 10.0.0.1\r\n"),
        ("http://[fd00::1]:8008", ("fd00::1", 8008), b"GET / HTTP/1.0\r\nHost: [fd00::1]:8008"),
    ],
)
def test_an_address_without_tls(url: str, where: tuple[str, int], first: bytes) -> None:
    found = place_of(url)
    assert found is not None
    assert found[0] == where
    assert found[1].startswith(first)


@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.1:8008/primary",
        "http://pg1:8008/primary",
        "http://ann:secret@10.0.0.1/primary",
        "http://10.0.0.1:99999/primary",
        "http://10.0.0.1/a b",
        "http://10.0.0.1/a\r\nHost: b",
        "http://10.0.0.1/ä",
        "http://[fe80::1%eth0]:8008/",
        "10.0.0.1",
    ],
)
def test_what_needs_more(url: str) -> None:
    assert place_of(url) is None


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (ANSWER, b"{}"),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}and more", b"{}"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b""),
    ],
)
def test_answers(answer: bytes, body: bytes) -> None:
    assert parse(answer) == (200, body)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.0 abc\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
    ],
)
def test_no_answers(answer: bytes) -> None:
    with pytest.raises(NotHttpError):
        parse(answer)


def test_nothing_at_all() -> None:
    with pytest.raises(NoAnswerError):
        parse(b"")


@asynccontextmanager
async def serving(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]) -> AsyncIterator[int]:
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:  # type: ignore[arg-type]
        yield server.sockets[0].getsockname()[1]


async def ask(port: int, *, timeout_s: float = 5.0, headers: bytes = b"") -> tuple[int, bytes]:
    short = place_of(f"http://127.0.0.1:{port}/primary")
    assert short is not None
    questions = Questions.join()
    try:
        return await questions.get(*short, headers, timeout_s=timeout_s)
    finally:
        questions.leave()


async def test_what_is_sent_and_an_answer_byte_by_byte() -> None:
    asked: list[bytes] = []

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        for byte in ANSWER:
            writer.write(bytes([byte]))
            await writer.drain()
        writer.close()

    async with serving(slowly) as port:
        assert await ask(port, headers=b"Authorization: Basic eA==\r\n") == (200, b"{}")
    first, *headers = asked[0].decode().strip().split("\r\n")
    assert first == "GET /primary HTTP/1.0"
    assert headers == [f"Host: 127.0.0.1:{port}", "Accept: */*", "Authorization: Basic eA=="]


async def test_an_answer_that_does_not_end() -> None:
    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b" " * (MOST_BYTES + 1))

    async with serving(endless) as port:
        with pytest.raises(TooMuchError):
            await ask(port)


async def test_silence_ends_with_the_deadline_and_leaves_no_connection() -> None:
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        ended.set()
        writer.close()

    async with serving(silent) as port:
        with pytest.raises(TimeoutError):
            await ask(port, timeout_s=0.05)
        await asyncio.wait_for(ended.wait(), 30)


async def test_whoever_does_not_wait_leaves_no_connection() -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        ended.set()
        writer.close()

    async with serving(silent) as port:
        asking = asyncio.create_task(ask(port, timeout_s=30))
        await asyncio.wait_for(asked.wait(), 30)
        asking.cancel()
        await asyncio.wait_for(ended.wait(), 30)


async def test_nobody_listens() -> None:
    async with serving(lambda _, writer: writer.close()) as port:
        pass
    with pytest.raises(UnreachedError):
        await ask(port)


@pytest.mark.parametrize("crowd", [CROWD, 50], ids=["each by itself", "as a crowd"])
async def test_hundreds_at_once_and_one_that_is_silent(crowd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is silent keeps nobody waiting, its deadline is its own, and one alone is answered afterwards."""
    monkeypatch.setattr(short_http, "CROWD", crowd)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if b"silent" not in request:
            writer.write(ANSWER)
            writer.close()
        else:
            await reader.read()
            writer.close()

    async with serving(serve) as port:
        silent = asyncio.create_task(ask(port, timeout_s=1.0, headers=b"X-Be: silent\r\n"))
        answers = await asyncio.gather(*(ask(port, timeout_s=30) for _ in range(300)))
        assert answers == [(200, b"{}")] * 300
        with pytest.raises(TimeoutError):
            await silent
        assert await ask(port) == (200, b"{}")


async def test_the_last_who_leaves_leaves_nothing_behind() -> None:
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    async with serving(silent) as port:
        short = place_of(f"http://127.0.0.1:{port}/primary")
        assert short is not None
        first, second = Questions.join(), Questions.join()
        assert first is second
        asking = asyncio.create_task(first.get(*short, b"", timeout_s=30))
        await asyncio.wait_for(asked.wait(), 30)
        first.leave()
        assert not asking.done()
        second.leave()
        with pytest.raises(NoAnswerError):
            await asyncio.wait_for(asking, 30)
        third = Questions.join()
        assert third is not first
        third.leave()
