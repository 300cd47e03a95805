"""What becomes of a cycle when it is over: receipts of role changes, kept on disk and told in the log."""

from pathlib import Path

from trunkline.model.receipt import Glimpse


class Recording:
    """`directory`: where the history is kept."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def witness(self, scope: str, service: str, seen: Glimpse) -> None:
        """Take note of one cycle."""
