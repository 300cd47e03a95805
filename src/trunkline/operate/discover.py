"""The clusters of some settings as they are now, asked once; for commands that end.

Goes on with what is remembered where nobody answers, and says so; `trunkline run` follows clusters instead
(`trunkline.agent.following`).
"""

import asyncio
from dataclasses import dataclass

from trunkline.agent import memory
from trunkline.agent.following import Following
from trunkline.config.settings import Settings
from trunkline.errors import PatroniError
from trunkline.model.cluster import ClusterView


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovered:
    """`clusters` in the order of the settings; `notes` for people; `memory` to remember them by."""

    clusters: tuple[ClusterView, ...]
    notes: tuple[str, ...]
    memory: str


async def discover(settings: Settings, remembered: str) -> Discovered:
    """Ask every cluster. Raises PatroniError where one neither answers nor is remembered."""
    followings = [Following(chosen, memory.recalled(remembered, chosen)) for chosen in settings.clusters]
    await asyncio.gather(*(following.look_once() for following in followings))
    return Discovered(
        clusters=tuple(map(_view, followings)),
        notes=tuple(problem.message for following in followings for problem in following.problems),
        memory=memory.as_text((it.chosen, it.known) for it in followings if it.known is not None),
    )


def _view(following: Following) -> ClusterView:
    if following.view is not None:
        return following.view
    why = "\n".join(f"  {problem.message}" for problem in following.problems) or "  it has no members yet"
    hint = next((problem.hint for problem in following.problems), "")
    raise PatroniError(f"the cluster {following.name} cannot be learned:\n{why}", hint=hint)
