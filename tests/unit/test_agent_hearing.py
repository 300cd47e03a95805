"""Whether HAProxy tells of its checks: what `show stat` has and nobody has told of is noticed, and nothing else."""

from dataclasses import dataclass, field

from structlog.testing import capture_logs

from trunkline.agent.hearing import GRACE_S, MANY_UNHEARD, Hearing
from trunkline.model.proxy import Health, ProxyState, ServerState

BEGINS, ENDS = "HAProxy does not tell of its checks", "HAProxy tells of its checks again"
PG1 = ("postgres_primary", "pg1")
LOOK_S = 0.5


@dataclass
class Story:
    """One server whose checks change, looked at twice a second."""

    now: float = 1000.0
    status: str = "L7OK"
    hearing: Hearing = field(default_factory=lambda: Hearing(1000.0))

    def look(self, times: int = 1) -> None:
        server = ServerState(
            proxy=PG1[0], name=PG1[1], address="", health=Health.UP, sessions=0, queued=0, check_status=self.status
        )
        for _ in range(times):
            self.now += LOOK_S
            self.hearing.looked((ProxyState(name=PG1[0], servers=(server,)),), self.now)

    def change(self, status: str, *, heard_after_s: float | None = None) -> None:
        """The checks have another result, and HAProxy tells of it before the next look, or so long after it."""
        self.status = status
        if heard_after_s is None:
            self.hearing.told(PG1, self.now + LOOK_S / 2)
        self.look()
        if heard_after_s is not None and heard_after_s != float("inf"):
            self.hearing.told(PG1, self.now + heard_after_s)
        self.look(6)

    @property
    def age_s(self) -> float:
        return self.hearing.age_s(self.now)


NEVER = float("inf")


def test_what_is_told_is_complete_whenever_it_comes() -> None:
    story = Story()
    with capture_logs() as told:
        story.look()
        for number in range(20):
            story.change("L7STS" if number % 2 else "L7OK", heard_after_s=[None, 0.1, GRACE_S / 2][number % 3])
    assert told == []
    assert story.age_s == 0


def test_silence_is_no_loss_while_nothing_changes() -> None:
    story = Story()
    with capture_logs() as told:
        story.look(7200)
    assert told == []
    assert story.age_s == 0


def test_changes_that_nobody_has_told_of_are_a_loss_until_one_is() -> None:
    story = Story()
    with capture_logs() as told:
        story.look()
        for number in range(10 * MANY_UNHEARD):
            story.change("L7OK" if number % 2 else "L7STS", heard_after_s=NEVER)
        assert [line["event"] for line in told] == [BEGINS]
        assert story.age_s > 10 * MANY_UNHEARD * LOOK_S
        story.change("L7TOUT")
    assert [line["event"] for line in told] == [BEGINS, ENDS]
    assert story.age_s == 0


def test_one_that_is_lost_is_no_loss() -> None:
    story = Story()
    with capture_logs() as told:
        story.look()
        for number in range(20):
            story.change("L7OK" if number % 2 else "L7STS", heard_after_s=None if number % 2 else NEVER)
    assert told == []


def test_of_a_server_that_was_not_checked_yet_nothing_is_told() -> None:
    story = Story()
    with capture_logs() as told:
        for number in range(20):
            story.change(["INI", "L7OK", "", "L7STS"][number % 4], heard_after_s=NEVER)
    assert told == []
    assert story.age_s == 0
