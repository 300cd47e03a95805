"""What a member's API has just said, as the agent keeps it."""

from trunkline.model.cluster import MemberAnswer, Role
from trunkline.model.facts import RestFact


def said(name: str, *, is_primary: bool) -> RestFact:
    """A moment ago, by a member that runs."""
    answer = MemberAnswer(
        scope="",
        name=name,
        role=Role.PRIMARY if is_primary else Role.REPLICA,
        state="running",
        patroni_version="4.1.5",
        status_code=200 if is_primary else 503,
        timeline=1,
        writes_location=1 if is_primary else None,
        replay_location=None if is_primary else 1,
    )
    return RestFact(answer=answer, age_s=0.1)
