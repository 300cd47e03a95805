"""What stays for long beside others does not load what only people look at."""

import subprocess
import sys

import pytest

AGENT = """
import sys
sys.argv = ["trunkline", "agent"]
from trunkline import cli
cli._app()
print(*sorted({"rich", "pygments", "jinja2"} & sys.modules.keys()))
"""


def test_the_agent_has_nothing_that_draws_and_nothing_that_renders() -> None:
    ran = subprocess.run([sys.executable, "-c", AGENT], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.split() == []


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_its_help_is_drawn_like_all_others(flag: str) -> None:
    command = [sys.executable, "-m", "trunkline", "agent", flag]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "╭─ Options" in ran.stdout


def test_its_errors_have_their_remedy() -> None:
    command = [sys.executable, "-m", "trunkline", "agent", "--config", "/nowhere/trunkline.yml"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode != 0
    assert ran.stderr.startswith("trunkline: ")
    assert "HINT: " in ran.stderr
