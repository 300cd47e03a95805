"""`python -m trunkline.lab --dir DIR [--nodes N] [--port-offset N]`: a bare cluster, without a balancer.

For people who work on Trunkline. It stays in the foreground and ends with Ctrl-C. The passwords are in
DIR/cluster.json; `Lab.attach(DIR)` drives it from Python.
"""

import argparse
import signal
import sys
from pathlib import Path

from trunkline.errors import TrunklineError
from trunkline.lab.cluster import Lab
from trunkline.lab.interruption import Interrupted, interruptible


def main() -> int:
    """Start, say how to reach it, wait for a signal, end it."""
    parser = argparse.ArgumentParser(prog="python -m trunkline.lab", description="a bare Patroni cluster")
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--port-offset", type=int, default=0)
    options = parser.parse_args()
    try:
        _serve(options.dir, options.nodes, options.port_offset)
    except TrunklineError as error:
        print(f"{error.message}\nHINT: {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


def _serve(root: Path, node_count: int, port_offset: int) -> None:
    lab: Lab | None = None
    with interruptible() as interruption:
        try:
            with interruption.shielded():
                lab = Lab.create(root, node_count=node_count, port_offset=port_offset)
            lab.start()
            leader = lab.wait_healthy()
            print(f"leader {leader}: {lab.member(leader).conninfo()}", flush=True)
            signal.pause()
        except Interrupted:
            pass
        finally:
            if lab is not None:
                lab.stop(remove=True)


if __name__ == "__main__":
    sys.exit(main())
