"""HAProxy's lines about its own checks, as 2.6.12 and 2.8.25 have written them."""

import pytest

from trunkline.wire.check_log import CheckReport, parse_report

PREFIX = "<133>Nov 24 09:17:07 haproxy[27660]: "
OF = "Health check for server postgres_primary/"
LINES = {
    f'{OF}pg1 failed, reason: Layer4 connection problem, info: "Connection refused", check duration: 0ms, status: 2': (
        CheckReport(
            proxy="postgres_primary", server="pg1", is_ok=False, is_silent=True, reason="Layer4 connection problem"
        )
    ),
    f"{OF}pg1 failed, reason: Layer7 timeout, check duration: 252ms, status: 1/3 UP.\n": (
        CheckReport(proxy="postgres_primary", server="pg1", is_ok=False, is_silent=True, reason="Layer7 timeout")
    ),
    f'{OF}:C3:A4 failed, reason: Layer7 invalid response, info: "HTTP content check did not match", check duration: ': (
        CheckReport(
            proxy="postgres_primary", server=":C3:A4", is_ok=False, is_silent=False, reason="Layer7 invalid response"
        )
    ),
    f"{OF}pg1 succeeded, reason: Layer7 check passed, code: 200, check duration: 1ms, status: 3/3 UP.": (
        CheckReport(proxy="postgres_primary", server="pg1", is_ok=True, is_silent=False, reason="Layer7 check passed")
    ),
}


@pytest.mark.parametrize("line", LINES)
def test_a_report(line: str) -> None:
    assert parse_report(PREFIX + line) == LINES[line]


@pytest.mark.parametrize(
    "line",
    ["", "\0\xff", "Server b/s1 is DOWN. 0 active and 0 backup servers left.", "Health check for server x failed"],
)
def test_anything_else_is_none(line: str) -> None:
    assert parse_report(line) is None
