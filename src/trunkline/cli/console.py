"""The two consoles."""

from rich.console import Console

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)
