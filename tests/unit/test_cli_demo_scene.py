"""What the live view says."""

from io import StringIO

from rich.console import Console, RenderableType
from rich.text import Text

from trunkline.cli.demo_keys import labels
from trunkline.cli.demo_progress import picture
from trunkline.cli.demo_scene import Row, Scene, changes, draw, leads_to
from trunkline.lab.bringup import Progress, Step, in_words
from trunkline.lab.clients import Report
from trunkline.lab.health import ClusterHealth, MemberHealth
from trunkline.lab.member import Condition

PRIMARY = MemberHealth(name="pg1", role="primary", state="running", timeline=4, takes_writes=True)
REPLICA = MemberHealth(name="pg2", role="replica", state="running", timeline=4, is_streaming=True, lag_bytes=0)


def text_of(renderable: RenderableType) -> str:
    console = Console(file=StringIO(), width=120, force_terminal=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def scene(condition: Condition = Condition.RUNNING) -> Scene:
    return Scene(
        rows=(
            Row(health=PRIMARY, address="127.0.0.11:5432"),
            Row(health=REPLICA, address="127.0.0.12:5432", condition=condition),
        ),
        selected="pg2",
        writer=Report(served=17, failed=2, per_second=8.5, servers=("127.0.0.11",), last_failure="refused [x]"),
        reader=Report(served=3, servers=("127.0.0.12",)),
        events=("12:00:00  pg1 takes writes",),
        busy="switchover",
        addresses=(("primary", 'psql "postgresql://postgres:p@127.0.0.1:5000/postgres"'),),
    )


def test_the_screen_says_all_that_it_is_for() -> None:
    drawn = text_of(draw(scene(), labels(scene())))
    for expected in (
        "127.0.0.11:5432   primary   running ",
        "▸   pg2      127.0.0.12:5432   replica   streaming          4   0 B",
        "5000  read-write  →  pg1",
        "5001  read-only   →  pg2",
        "8/s, 17 written, 2 failed (last: refused [x]), longest stall 0.0 s",
        "… switchover",
        "12:00:00  pg1 takes writes",
        'psql "postgresql://postgres:p@127.0.0.1:5000/postgres"',
    ):
        assert expected in drawn


def test_what_was_done_to_a_member_outshines_what_it_says() -> None:
    drawn = text_of(draw(scene(Condition.FROZEN), ()))
    assert "frozen" in drawn
    assert "streaming" not in drawn


def test_an_empty_scene_can_be_drawn() -> None:
    assert "not asked yet" in text_of(draw(Scene(), labels(Scene())))


def test_a_port_without_a_server_is_told_from_the_client_s_side() -> None:
    waiting = leads_to(Report(waiting_s=2.34, servers=("127.0.0.11",)), {})
    assert waiting.plain == "nobody yet: clients have waited for 2.3 s"


def test_an_address_without_a_name_is_shown_as_it_is() -> None:
    assert leads_to(Report(servers=("127.0.0.99",)), {"127.0.0.11": "pg1"}).plain == "127.0.0.99"


def test_only_news_is_news() -> None:
    nobody = ClusterHealth(members=(REPLICA,))
    both = ClusterHealth(members=(PRIMARY, REPLICA))
    assert changes(both, both) == ()
    assert changes(both, nobody) == ("nobody takes writes",)
    assert changes(nobody, both) == ("pg1 takes writes, timeline 4",)
    assert changes(ClusterHealth(members=()), nobody) == ("pg2 streams from the primary",)


def test_steps_are_ticked_off() -> None:
    board = picture(
        {
            Step.STORE: Progress(step=Step.STORE, detail="answers", is_done=True),
            Step.MEMBERS: Progress(step=Step.MEMBERS, detail="pg1 leads"),
        },
        Text("*"),
        elapsed_s=3.2,
    )
    first, second, third, *_ = text_of(board).splitlines()
    assert first.startswith("✓ etcd")
    assert second.startswith("* PostgreSQL under Patroni")
    assert "pg1 leads" in second
    assert third.strip() == Step.BALANCER


def test_members_on_their_way_are_described() -> None:
    on_their_way = ClusterHealth(
        members=(
            MemberHealth(name="pg1", state="initializing new cluster"),
            MemberHealth(name="pg2", role="uninitialized", state="stopped"),
            MemberHealth(name="pg3"),
            MemberHealth(name="pg4", state="start failed"),
            REPLICA,
            PRIMARY,
        )
    )
    assert in_words(on_their_way) == (
        "pg1 initialises the cluster, pg2 waits for a leader, pg3 starts, pg4 start failed, pg2 streams, pg1 leads"
    )
