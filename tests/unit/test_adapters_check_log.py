"""The socket on which an agent hears of checks, and is called by commands of ours."""

import asyncio

from trunkline.adapters import check_log
from trunkline.wire.check_log import CheckReport

REPORT = (
    b"Health check for server postgres_primary/pg1 succeeded, reason: Layer7 check passed, code: 200, status: 3/3 UP."
)


async def test_a_call_is_no_report_and_a_report_no_call() -> None:
    name = f"trunkline-test-{id(object())}"
    reports: asyncio.Queue[CheckReport] = asyncio.Queue()
    called = asyncio.Event()
    with check_log.bind(name) as receiver:
        assert check_log.call(name)  # before anybody listens: what has waited is old
        hearing = asyncio.create_task(check_log.listen(receiver, reports.put_nowait, called.set))
        await asyncio.sleep(0)
        assert check_log.call(name)
        async with asyncio.timeout(10):
            await called.wait()
        assert reports.empty()
        called.clear()
        with check_log.bind(f"{name}-sender") as sender:
            sender.connect(receiver.getsockname())
            sender.send(REPORT)
        async with asyncio.timeout(10):
            report = await reports.get()
        assert (report.server, report.is_ok, called.is_set()) == ("pg1", True, False)
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        assert all(check_log.call(name) for _ in range(2000)), "a full socket is somebody's, too"


def test_nobody_is_there() -> None:
    assert not check_log.call(f"trunkline-test-{id(object())}")
