"""Draw demo.svg: the live view of `trunkline demo` after a switchover and the loss of the new primary's node.

    .venv/bin/python docs/images/make.py

A real cluster, real faults, and the frame that the demo itself would show at this moment. It takes a minute.
"""

import re
import time
from io import StringIO
from pathlib import Path

from rich.console import Console

from trunkline.cli.demo_keys import Act, CutNode, SwitchOver, labels
from trunkline.cli.demo_live import Stage
from trunkline.cli.demo_scene import draw
from trunkline.lab import Lab
from trunkline.lab.balancer import Balancer
from trunkline.lab.binaries import find_binaries
from trunkline.lab.bringup import bring_up
from trunkline.lab.processes import wait_until

PICTURE = Path(__file__).parent / "demo.svg"
COLUMNS = 110
FAILOVER_TIMEOUT_S = 60.0
CALM_S = 4.0


def main() -> None:
    """Bring a demo up, do two things to it, draw what is to be seen, end it."""
    binaries = find_binaries()
    assert binaries.haproxy is not None, "no HAProxy found"
    lab = Lab.create(Path("demo"), binaries=binaries)
    try:
        balancer = Balancer(lab, binaries.haproxy)
        bring_up(lab, balancer, lambda progress: print(f"{progress.step}: {progress.detail}"))
        stage = Stage(lab, balancer)
        stage.start()
        time.sleep(CALM_S)
        act(stage, SwitchOver())
        primary = stage.scene().primary
        assert primary is not None
        act(stage, CutNode(member=primary))
        PICTURE.write_text(picture(stage))
        stage.stop()
    finally:
        lab.stop(remove=True)


def act(stage: Stage, what: Act) -> None:
    """Do it, and wait until another member takes writes and its clients have settled."""
    before = stage.scene().primary
    stage.perform(what)
    if not wait_until(lambda: stage.scene().primary not in (None, before), timeout_s=FAILOVER_TIMEOUT_S):
        raise SystemExit(f"nobody took over from {before}")
    time.sleep(CALM_S)


def picture(stage: Stage) -> str:
    """The screen as it is now."""
    scene = stage.scene()
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(draw(scene, labels(scene)))
    # Whoever looks at it shall not load a font from elsewhere.
    return re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="trunkline demo"), flags=re.DOTALL)


if __name__ == "__main__":
    main()
