"""What a lab writes down about itself: `cluster.json`, from which `Lab.attach` finds everything again.

(`lab.json`, for outsiders, is written from it when the lab is complete: `trunkline.lab.announcement`.)
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trunkline.errors import LabError
from trunkline.lab.binaries import Binaries, Binary
from trunkline.lab.patroni_config import Passwords

RECORD = "cluster.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How a lab was made; `made_directory`: whether the directory goes when the lab goes."""

    node_count: int
    port_offset: int
    made_directory: bool
    passwords: Passwords
    binaries: Binaries


def write_private(path: Path, text: str) -> None:
    """Write a file that only we can read, from its first byte on, whole or not at all."""
    sibling = path.with_name(path.name + ".tmp")
    sibling.unlink(missing_ok=True)
    with os.fdopen(os.open(sibling, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    sibling.replace(path)


def save(root: Path, record: Record) -> None:
    """Write the record down."""
    write_private(root / RECORD, json.dumps(asdict(record), indent=1, default=str) + "\n")


def load(root: Path) -> Record:
    """Read the record of a lab, or say that there is none."""
    try:
        return _parse(json.loads((root / RECORD).read_text()))
    except FileNotFoundError:
        raise LabError(f"there is no lab in {root}", hint="name its directory with --dir") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabError(
            f"the record {root / RECORD} cannot be read: {error}", hint="run as who started the lab"
        ) from error


def _parse(raw: Any) -> Record:
    parts = raw["binaries"]
    return Record(
        node_count=raw["node_count"],
        port_offset=raw["port_offset"],
        made_directory=raw["made_directory"],
        passwords=Passwords(**raw["passwords"]),
        binaries=Binaries(
            haproxy=_binary(parts["haproxy"]) if parts["haproxy"] else None,
            postgres=_binary(parts["postgres"]),
            etcd=_binary(parts["etcd"]),
        ),
    )


def _binary(raw: Any) -> Binary:
    return Binary(path=Path(raw["path"]), version=tuple(raw["version"]), source=raw["source"])
