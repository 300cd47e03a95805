"""The command line as a program: how it begins and how it fails."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.mark.parametrize("after_s", [0.1, 0.2, 0.3])
def test_ctrl_c_while_it_begins_is_no_traceback(tmp_path: Path, after_s: float) -> None:
    """Up to here it has not touched anything: the demo needs longer to begin than the longest of these."""
    process = subprocess.Popen(
        [sys.executable, "-m", "trunkline", "demo", "--dir", str(tmp_path / "demo"), "--port-offset", "30000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in told
    assert not list(tmp_path.iterdir())
