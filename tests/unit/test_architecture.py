"""ARCHITECTURE.md and the import contracts draw the same picture."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "ARCHITECTURE.md").read_text()
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def drawn() -> list[str]:
    """The first block of the page: a line for each layer, "room | room   [PURE]  what it is"."""
    return PAGE.split("```")[1].strip().splitlines()


def rooms(line: str) -> set[str]:
    return {name.strip() for name in re.split(r" {2,}", line)[0].split("|")}


def test_the_layers_are_those_of_the_contract() -> None:
    (layers,) = (contract["layers"] for contract in CONTRACTS if contract["type"] == "layers")
    enforced = [{name.strip().removeprefix("trunkline.") for name in layer.split("|")} for layer in layers]
    assert [rooms(line) for line in drawn()] == enforced


def test_pure_is_what_the_contract_keeps_pure() -> None:
    (pure,) = (contract["source_modules"] for contract in CONTRACTS if contract["type"] == "forbidden")
    said = set().union(*(rooms(line) for line in drawn() if "PURE" in line))
    assert said == {name.removeprefix("trunkline.") for name in pure}


def test_every_room_is_drawn() -> None:
    package = ROOT / "src" / "trunkline"
    there = {path.parent.name for path in package.glob("*/__init__.py")}
    there |= {path.stem for path in package.glob("*.py") if not path.stem.startswith("__")}
    assert set().union(*map(rooms, drawn())) == there


def test_every_file_that_the_page_names_is_there() -> None:
    for name in re.findall(r"`((?:src|tests|examples|model|plan|agent|lab|operate)/[\w/.]+)`", PAGE):
        assert (ROOT / name).exists() or (ROOT / "src" / "trunkline" / name).exists(), name
