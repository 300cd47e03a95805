"""The unit of the agent that people copy."""

import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from trunkline.agent.attached import STUCK_S

UNIT = Path(__file__).parents[2] / "examples" / "trunkline-agent.service"


def test_its_watchdog_is_slower_than_ours_and_it_never_gives_up() -> None:
    unit = ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[method-assign,assignment]  # keys as systemd has them
    unit.read_string(UNIT.read_text())
    service = unit["Service"]
    assert (service["Type"], service["Restart"], unit["Unit"]["StartLimitIntervalSec"]) == ("notify", "always", "0")
    assert float(service["WatchdogSec"]) > STUCK_S
    assert service["ExecStart"].split()[1:] == ["agent"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_systemd_takes_it(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/usr/local/bin/trunkline agent", "/bin/true"))
    judged = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", str(copy)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert UNIT.name not in judged.stderr
    assert judged.returncode == 0, judged.stderr
