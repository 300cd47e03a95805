"""The live view of the demo."""

import signal

from trunkline.lab.balancer import Balancer
from trunkline.lab.cluster import Lab


def show_live(lab: Lab, balancer: Balancer) -> None:
    """Placeholder until the view is there."""
    signal.pause()
