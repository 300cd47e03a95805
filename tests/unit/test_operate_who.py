"""From a port or a pid to a client: what matches, and what is said when nothing does."""

from pathlib import Path

import pytest

from trunkline.config.settings import Settings
from trunkline.errors import RuntimeSocketError, TrunklineError
from trunkline.model.client import Backend, Client
from trunkline.model.proxy import ProcessInfo, ProxyView, Session
from trunkline.operate.who import candidates, clients_behind, nothing_found, of_backend, with_port
from trunkline.testing.fake_cluster import FakeCluster
from trunkline.testing.fake_haproxy import FakeHAProxy


def client(via: str, member: str = "pg1") -> Client:
    return Client(
        client="10.0.0.7:40000",
        service="postgres_primary",
        member=member,
        via=via,
        age_s=3,
        worker_pid=7,
        is_old_worker=False,
    )


def backend(client_port: int | None = 5001, member: str = "pg1") -> Backend:
    return Backend(
        member=member,
        pid=99,
        client_address="10.0.0.1",
        client_port=client_port,
        user="u",
        database="d",
        application_name="a",
    )


def session(name: str, **changes: object) -> Session:
    plain: dict[str, object] = {
        "session_id": name,
        "frontend": "postgres_primary",
        "backend": "postgres_primary",
        "server": "pg1",
        "client": "10.0.0.7:40000",
        "towards_server": "127.0.0.1:5001",
        "age_s": 10,
    }
    return Session(**{**plain, **changes})  # type: ignore[arg-type]


def test_a_port_is_matched_as_a_whole() -> None:
    mine, longer, shorter = client("10.0.0.1:5001"), client("10.0.0.1:15001"), client("[::1]:500")
    assert with_port((mine, longer, shorter), 5001) == (mine,)
    assert with_port((mine, longer, shorter), 500) == (shorter,)


def test_the_same_port_towards_two_members_is_two_sessions() -> None:
    both = (client("10.0.0.1:5001"), client("10.0.0.1:5001", member="pg2"))
    assert with_port(both, 5001) == both
    assert of_backend(both, backend(member="pg2")) == both[1:]


def test_a_process_without_tcp_is_nobodys() -> None:
    assert of_backend((client(":0"), client("")), backend(client_port=None)) == ()


@pytest.mark.parametrize(
    ("backends", "is_pid", "said"),
    [
        ((), False, "no session of this HAProxy reaches PostgreSQL from port 99, and no member has a process 99"),
        ((), True, "no member has a process 99"),
        ((backend(None),), False, "process 99 of pg1 has no TCP connection"),
        ((backend(7),), False, "process 99 of pg1 serves 10.0.0.1 port 7, which is not through this HAProxy"),
    ],
)
def test_what_is_said_when_nothing_is_found(backends: tuple[Backend, ...], is_pid: bool, said: str) -> None:
    assert nothing_found(99, backends, is_pid=is_pid).message.startswith(said)


def through_hold(name: str, **changes: object) -> Session:
    return session(name, client="unix:2", **changes)


def waiting(name: str, client: str, **changes: object) -> Session:
    return session(name, client=client, server="hold", towards_server="", **changes)


def test_a_session_names_its_client_itself() -> None:
    assert candidates(session("0x1"), (session("0x1"), waiting("0x2", "10.0.0.8:1"))) == ("10.0.0.7:40000",)


def test_through_the_hold_the_only_one_who_leads_there_is_meant() -> None:
    inner = through_hold("0x1", age_s=5)
    all_of_them = (
        inner,
        waiting("0x2", "10.0.0.8:1", age_s=6),
        waiting("0x3", "10.0.0.9:1", age_s=4),  # began later
        waiting("0x4", "10.0.0.9:2", age_s=6, backend="postgres_replicas"),  # leads elsewhere
        session("0x5", age_s=6),
    )
    assert candidates(inner, all_of_them) == ("10.0.0.8:1",)


def test_through_the_hold_bytes_tell_clients_apart() -> None:
    inner = through_hold("0x1", bytes_sent=260, bytes_received=900)
    one = waiting("0x2", "10.0.0.8:1", bytes_sent=260, bytes_received=900)
    other = waiting("0x3", "10.0.0.9:1", bytes_sent=260, bytes_received=800)
    assert candidates(inner, (inner, one, other)) == ("10.0.0.8:1",)
    busy = through_hold("0x1", bytes_sent=261, bytes_received=900)
    assert candidates(busy, (busy, one, other)) == ("10.0.0.8:1", "10.0.0.9:1")


def test_twice_through_the_hold() -> None:
    inner, middle = through_hold("0x1", age_s=1), through_hold("0x2", server="hold", towards_server="", age_s=2)
    assert candidates(inner, (inner, middle, waiting("0x3", "10.0.0.8:1", age_s=3))) == ("10.0.0.8:1",)


def view(pid: int = 4711) -> ProxyView:
    return ProxyView(info=ProcessInfo(version="2.8.25", pid=pid, uptime_s=1, maxconn=9), proxies=())


def settings_for(directory: Path, *urls: str) -> Settings:
    return Settings.model_validate({"clusters": [{"patroni": urls}], "directory": directory})


async def test_a_port_needs_nobody_but_haproxy(tmp_path: Path) -> None:
    sessions = (session("0x1"), session("0x2", server=":hold", towards_server="127.0.0.1:5002", client="[::1]:7"))
    async with FakeHAProxy(tmp_path / "admin.sock", view(), sessions=sessions):
        found = await clients_behind(settings_for(tmp_path, "http://127.0.0.1:1"), 5002)
    assert [(it.client, it.member, it.service, it.worker_pid) for it in found] == [
        ("[::1]:7", "hold", "postgres_primary", 4711)
    ]


async def test_a_pid_of_members_that_cannot_be_asked_says_why(tmp_path: Path) -> None:
    async with FakeHAProxy(tmp_path / "admin.sock", view()), FakeCluster(("pg1",)) as cluster:
        with pytest.raises(TrunklineError, match=r"pg1 \(127\.0\.0\.1:1\) cannot be asked") as refused:
            await clients_behind(settings_for(tmp_path, *cluster.urls), 5002)
    assert "PGPASSFILE" in refused.value.hint


async def test_without_haproxy_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(RuntimeSocketError, match="there is no socket"):
        await clients_behind(settings_for(tmp_path, "http://127.0.0.1:1"), 5002)
