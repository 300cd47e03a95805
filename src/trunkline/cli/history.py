"""`trunkline history`: the receipts of role changes. Owns how they look."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from trunkline.agent.history import history_file, read_history
from trunkline.cli.console import out
from trunkline.cli.options import ConfigOption, PatroniConfigOption, PatroniOption, ScopeOption, settings_from
from trunkline.cli.status_picture import printable
from trunkline.model.receipt import Receipt
from trunkline.operate.places import find_directory
from trunkline.plan.timeline import moments, sentence, zero_s

SHOWN = 10
"""To people, who ask for more where they want more; to programs all are told."""


def history(
    last: Annotated[
        int | None,
        typer.Option(
            "--last",
            metavar="N",
            min=1,
            help="Only the last N role changes.",
            show_default=f"{SHOWN}, with --json all",
        ),
    ] = None,
    is_brief: Annotated[bool, typer.Option("--brief", help="A line each, without their timelines.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON (docs/history.md).")] = False,
    config: ConfigOption = None,
    patroni: PatroniOption = None,
    scope: ScopeOption = None,
    patroni_config: PatroniConfigOption = None,
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Where `trunkline run` keeps its files.")
    ] = None,
) -> None:
    """Show what happened at each role change of the primary: what was seen when, what was done, what it cost.

    The newest comes last. Moments count from the one at which HAProxy sent nobody to the old primary any more. DIR
    alone says where the receipts are; no settings are needed then.
    """
    home = directory
    if home is None or config or patroni or patroni_config:
        home = find_directory(settings_from(config, patroni, scope, patroni_config, directory=directory))
    receipts = [it for it in read_history(history_file(home.absolute())) if scope in (None, it.scope)]
    if as_json:
        chosen = receipts[-last:] if last else receipts
        sys.stdout.write(json.dumps({"receipts": [asdict(it) for it in chosen]}, indent=2) + "\n")
        return
    chosen = receipts[-(last or SHOWN) :]
    if not chosen:
        out.print("no role change has been seen yet")
    for receipt in chosen:
        for line in _lines(receipt, is_brief=is_brief):
            out.print(printable(line), markup=False, soft_wrap=True)
    older = len(receipts) - len(chosen)
    if older and last is None:
        out.print(f"{older} older {'one is' if older == 1 else 'ones are'} left out: --last {len(receipts)}")


def _lines(receipt: Receipt, *, is_brief: bool) -> Iterator[str]:
    at = datetime.fromtimestamp(zero_s(receipt)).astimezone()
    yield f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d} {at:%z}  {receipt.service}: {sentence(receipt)}"
    if is_brief:
        return
    for moment in moments(receipt):
        words = moment.what if moment.is_deed else f"{moment.member}: {moment.what}"
        yield f"  {moment.offset_s:+9.3f} s  {'    ' if moment.is_deed else ''}{words}"
