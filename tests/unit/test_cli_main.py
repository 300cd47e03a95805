"""The command line as a program: how it begins and how it fails."""

import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest


@pytest.mark.parametrize("module", ["typer", "pydantic", "trunkline.cli.options", "trunkline.lab.cluster"])
def test_ctrl_c_while_it_begins_is_no_traceback(tmp_path: Path, module: str) -> None:
    """Whatever it is reading at that moment, it has not touched anything yet."""
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "trunkline", "demo", "--dir", str(tmp_path / "demo")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert any(line.endswith(f" {module}\n") for line in process.stderr)
    process.send_signal(signal.SIGINT)
    told = process.stderr.read()
    assert process.wait(timeout=60) == 128 + signal.SIGINT
    assert "Traceback" not in told
    assert not list(tmp_path.iterdir())


def test_it_says_which_one_it_is() -> None:
    told = subprocess.run([sys.executable, "-m", "trunkline", "--version"], check=True, capture_output=True, text=True)
    assert told.stdout == f"trunkline {version('trunkline')}\n"
