"""Receipts as JSON, and back: one line each. The field names are those of `trunkline.model.receipt`.

What is unknown to this version is left out; a line that is none of a receipt is None.
"""

from pydantic import TypeAdapter, ValidationError

from trunkline.model.receipt import Receipt

RECEIPT = TypeAdapter(Receipt)


def write_receipt(receipt: Receipt) -> str:
    """One line, without its end."""
    return RECEIPT.dump_json(receipt).decode()


def read_receipt(line: str) -> Receipt | None:
    """The receipt of such a line; None for any other text, also one that is cut short."""
    try:
        return RECEIPT.validate_json(line.encode(errors="surrogateescape"))
    except (ValidationError, UnicodeError):
        return None
