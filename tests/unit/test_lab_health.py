"""Who leads and who is not well, from what members say."""

import json

from trunkline.lab.api import Answer
from trunkline.lab.health import ClusterHealth, judge

PRIMARY = {"state": "running", "role": "primary", "timeline": 3, "xlog": {"location": 67109024}}
REPLICA = {
    "state": "running",
    "role": "replica",
    "timeline": 3,
    "replication_state": "streaming",
    "xlog": {"received_location": 67109024, "replayed_location": 67109024},
}
SILENCE = Answer(status=0)


def says(body: dict[str, object], **changes: object) -> Answer:
    return Answer(status=200, text=json.dumps({k: v for k, v in (body | changes).items() if v is not None}))


def health(leader: str | None = "pg1", **answers: Answer) -> ClusterHealth:
    members = [{"name": name, "role": "leader" if name == leader else "replica", "lag": 16} for name in answers]
    return judge(answers, says({"members": members}))


def test_a_primary_and_streaming_replicas_are_healthy() -> None:
    seen = health(pg1=says(PRIMARY), pg2=says(REPLICA))
    assert seen.is_healthy
    assert seen.leader == "pg1"
    assert [member.lag_bytes for member in seen.members] == [16, 16]


def test_a_primary_whose_query_failed_proves_nothing() -> None:
    assert health(pg1=says(PRIMARY, xlog=None, state="unknown"), pg2=says(REPLICA)).leader is None


def test_who_takes_writes_without_the_leader_lock_is_not_the_leader() -> None:
    assert health(leader="pg2", pg1=says(PRIMARY), pg2=says(REPLICA)).leader is None


def test_a_replica_on_the_old_timeline_is_unwell() -> None:
    assert health(pg1=says(PRIMARY), pg2=says(REPLICA, timeline=2)).unwell == ("pg2",)


def test_a_replica_that_does_not_stream_is_unwell() -> None:
    assert health(pg1=says(PRIMARY), pg2=says(REPLICA, replication_state=None)).unwell == ("pg2",)


def test_silence_is_unwell() -> None:
    seen = health(pg1=says(PRIMARY), pg2=SILENCE)
    assert seen.unwell == ("pg2",)
    assert seen.in_words == "pg1 primary running, pg2 replica silent"


def test_nobody_answers_at_all() -> None:
    seen = judge({"pg1": SILENCE}, SILENCE)
    assert seen.leader is None
    assert not seen.is_healthy


def test_nonsense_is_no_answer() -> None:
    assert health(pg1=Answer(status=200, text="<html>"), pg2=Answer(status=200, text="[]")).leader is None
