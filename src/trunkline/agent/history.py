"""Receipts on disk: a line of JSON each, the newest last, at most `MOST`; one writer, any number of readers.

A receipt is appended with one write and synced, so that a crash costs at most the line that was being written, which
readers leave out. The file is written anew, as a whole, once it is a quarter above its bound.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from trunkline.adapters.files import read_text, write_private
from trunkline.agent.directory import lasting
from trunkline.errors import HAProxyError
from trunkline.model.receipt import Receipt
from trunkline.wire.receipts import read_receipt, write_receipt

NAME = "history.jsonl"
MOST = 400
SLACK = 100


def history_file(directory: Path) -> Path:
    """Where the history of a run in `directory` is."""
    return lasting(directory) / NAME


def read_history(path: Path) -> tuple[Receipt, ...]:
    """What is kept, the newest last; empty where there is nothing. Raises HAProxyError where it cannot be read."""
    lines = (read_text(path) or "").splitlines()
    receipts = (read_receipt(line) for line in lines)
    return tuple(receipt for receipt in receipts if receipt is not None)[-MOST:]


class History:
    """The writer's side."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[Receipt, ...]:
        """What is kept."""
        return read_history(self._path)

    def append(self, receipt: Receipt) -> None:
        """Keep one more. Raises HAProxyError where the file cannot be written."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            count = self._append(write_receipt(receipt))
        except OSError as error:
            raise HAProxyError(
                f"the receipt cannot be kept in {self._path}: {error.strerror or error}",
                hint="make room there, or let the agent write into it",
            ) from None
        if count > MOST + SLACK:
            self._shorten(self.read())

    def _append(self, line: str) -> int:
        """How many lines there are now."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            before = file.read() or b""
            is_torn = bool(before) and not before.endswith(b"\n")
            file.write((b"\n" if is_torn else b"") + line.encode() + b"\n")
            os.fsync(file.fileno())
        return before.count(b"\n") + 1

    def _shorten(self, receipts: Sequence[Receipt]) -> None:
        write_private(self._path, "".join(write_receipt(receipt) + "\n" for receipt in receipts))
