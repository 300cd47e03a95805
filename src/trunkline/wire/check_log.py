"""What HAProxy logs of its own health checks (`option log-health-checks`), as values.

Source: the messages of HAProxy 2.6.12 and 2.8.25; a line that is none of them is no report, and no error either.
"""

import re
from dataclasses import dataclass

REPORT = re.compile(r"Health check for server ([^/\s]+)/(\S+) (succeeded|failed), reason: (.+?)(?:, |\.?$)")
SILENCES = ("Layer4 connection problem", "Layer4 timeout", "Layer6 timeout", "Layer7 timeout", "General socket error")
"""Reasons that say nothing about what Patroni would have answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """One check that has changed what HAProxy thinks of a server. `is_silent`: it failed for want of any answer."""

    proxy: str
    server: str
    is_ok: bool
    is_silent: bool
    reason: str


def parse_report(line: str) -> CheckReport | None:
    """The report in one log line, if it is one."""
    found = REPORT.search(line.strip())
    if found is None:
        return None
    is_ok, reason = found[3] == "succeeded", found[4]
    is_silent = not is_ok and reason.startswith(SILENCES)
    return CheckReport(proxy=found[1], server=found[2], is_ok=is_ok, is_silent=is_silent, reason=reason)
