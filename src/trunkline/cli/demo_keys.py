"""What the keys of the live view do, and when they are offered. Pure: a key and a scene in, an act or nothing out."""

from dataclasses import dataclass

from trunkline.cli.demo_scene import Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchOver:
    """Ask Patroni for a planned switchover."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KillPostmaster:
    """`kill -9` of the primary's postmaster."""

    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """SIGSTOP for Patroni and PostgreSQL of the primary."""

    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CutNode:
    """`kill -9` of Patroni and PostgreSQL together: the node is gone."""

    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BringBack:
    """Thaw or start these members."""

    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """Choose the member that `c` cuts."""

    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quit:
    """End the demo."""


Act = SwitchOver | KillPostmaster | Freeze | CutNode | BringBack | Select | Quit


def act_for(key: str, scene: Scene) -> Act | None:
    """What pressing this key means in this scene; None where it means nothing.

    >>> act_for("q", Scene())
    Quit()
    >>> act_for("s", Scene()) is None
    True
    """
    if key == "q":
        return Quit()
    if key.isdecimal():
        chosen = [row.name for row in scene.rows if row.name == f"pg{key}"]
        return Select(member=chosen[0]) if chosen else None
    if scene.busy:
        return None
    primary = scene.primary
    match key:
        case "s" if primary is not None and len(scene.running) > 1:
            return SwitchOver()
        case "k" if primary is not None:
            return KillPostmaster(member=primary)
        case "f" if primary is not None:
            return Freeze(member=primary)
        case "c" if scene.selected in scene.running:
            return CutNode(member=scene.selected)
        case "b" if scene.broken:
            return BringBack(members=scene.broken)
        case _:
            return None


def labels(scene: Scene) -> tuple[tuple[str, str, bool], ...]:
    """Key, what it does, and whether it does it now."""
    primary = scene.primary or "the primary"
    texts = (
        ("s", "switch over"),
        ("k", f"kill -9 {primary}"),
        ("f", f"freeze {primary}"),
        (f"1-{max(len(scene.rows), 1)}", "choose a node"),
        ("c", f"cut {scene.selected} off (kill -9 of the node)"),
        ("b", "bring back " + ", ".join(scene.broken) if scene.broken else "bring back"),
        ("q", "quit"),
    )
    return tuple((key, text, key.startswith("1") or act_for(key, scene) is not None) for key, text in texts)
