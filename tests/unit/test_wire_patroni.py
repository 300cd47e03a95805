"""Patroni's JSON, as recorded from 3.0.4 and 4.1.5, and whatever else may come instead."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import PatroniError
from trunkline.model.cluster import DynamicConfig, Role, ScheduledSwitchover
from trunkline.wire.patroni import parse_cluster, parse_config, parse_member_answer

RECORDED = Path(__file__).parent.parent / "data" / "patroni"
VERSIONS = ("3.0.4", "4.1.5")


def recorded(version: str, name: str) -> bytes:
    return (RECORDED / version / f"{name}.json").read_bytes()


@pytest.mark.parametrize("version", VERSIONS)
def test_cluster(version: str) -> None:
    view = parse_cluster(recorded(version, "cluster"))
    assert [(m.name, m.role, m.state, m.host, m.port, m.timeline) for m in view.members] == [
        ("pg1", Role.REPLICA, "streaming", "127.0.0.11", 5432, 1),
        ("pg2", Role.PRIMARY, "running", "127.0.0.12", 5432, 1),
        ("pg3", Role.REPLICA, "streaming", "127.0.0.13", 5432, 1),
    ]
    assert [m.lag_bytes for m in view.members] == [0, None, 0]
    assert view.leader == view.members[1]
    assert view.members[0].api_url == "http://127.0.0.11:8008/patroni"
    assert not view.is_paused
    assert not view.is_standby_cluster


def test_scope_is_unknown_where_patroni_does_not_say_it() -> None:
    assert parse_cluster(recorded("3.0.4", "cluster")).scope == ""
    assert parse_cluster(recorded("4.1.5", "cluster")).scope == "demo"


def test_cluster_with_sync_standby() -> None:
    view = parse_cluster(recorded("4.1.5", "cluster_sync"))
    assert [m.role for m in view.members] == [Role.REPLICA, Role.PRIMARY, Role.SYNC_STANDBY]


def test_cluster_in_pause() -> None:
    assert parse_cluster(recorded("4.1.5", "cluster_paused")).is_paused


def test_cluster_with_scheduled_switchover() -> None:
    expected = ScheduledSwitchover(at="2027-01-01T00:00:00+00:00", from_member="pg2", to_member="pg3")
    assert parse_cluster(recorded("4.1.5", "cluster_scheduled")).scheduled_switchover == expected


def test_cluster_with_a_stopped_member() -> None:
    stopped = parse_cluster(recorded("4.1.5", "cluster_stopped")).members[1]
    assert (stopped.name, stopped.state, stopped.timeline, stopped.lag_bytes) == ("pg2", "stopped", None, None)


def test_standby_cluster() -> None:
    view = parse_cluster(recorded("4.1.5", "cluster_standby"))
    assert view.members[0].role is Role.STANDBY_LEADER
    assert view.leader == view.members[0]
    assert view.is_standby_cluster
    assert parse_config(recorded("4.1.5", "config_standby")).is_standby_cluster


@pytest.mark.parametrize("version", VERSIONS)
def test_config(version: str) -> None:
    assert parse_config(recorded(version, "config")) == DynamicConfig(ttl_s=20, loop_wait_s=2, max_connections=100)


def test_config_with_numbers_written_as_text() -> None:
    config = parse_config(recorded("4.1.5", "config_connections"))
    assert (config.max_connections, config.reserved_connections) == (200, 5)


def test_config_that_says_nothing_has_patronis_defaults() -> None:
    assert parse_config(b"{}") == DynamicConfig()
    assert parse_config(b'{"ttl": "soon", "loop_wait": -1, "postgresql": {"parameters": []}}') == DynamicConfig()


@pytest.mark.parametrize("version", VERSIONS)
def test_primary_accepts_writes(version: str) -> None:
    answer = parse_member_answer(200, recorded(version, "member_primary"))
    assert (answer.role, answer.state, answer.scope) == (Role.PRIMARY, "running", "demo")
    assert answer.patroni_version == version
    assert answer.writes_location is not None
    assert answer.writes_location > 67108000
    assert answer.accepts_writes
    assert answer.streaming == {"pg1", "pg3"}


@pytest.mark.parametrize(
    "replication",
    [
        None,
        "pg2",
        [None, "pg2", {}],
        [{"application_name": 2, "state": "streaming"}],
        [{"application_name": "pg_basebackup", "state": "backup"}],
    ],
    ids=["nothing", "no list", "no rows", "no name", "not streaming"],
)
def test_nobody_streams(replication: object) -> None:
    body = json.loads(recorded("4.1.5", "member_primary")) | {"replication": replication}
    assert parse_member_answer(200, json.dumps(body)).streaming == frozenset()


@pytest.mark.parametrize("version", VERSIONS)
def test_primary_whose_postgresql_died_does_not_accept_writes(version: str) -> None:
    answer = parse_member_answer(200, recorded(version, "member_primary_dead"))
    assert (answer.role, answer.state, answer.writes_location) == (Role.PRIMARY, "unknown", None)
    assert not answer.accepts_writes


@pytest.mark.parametrize("name", ["member_primary_stopping", "member_primary_promoting"])
def test_leader_of_a_switchover_does_not_accept_writes(name: str) -> None:
    assert not parse_member_answer(200, recorded("4.1.5", name)).accepts_writes


def test_location_without_the_leader_lock_is_not_enough() -> None:
    assert not parse_member_answer(503, recorded("4.1.5", "member_primary")).accepts_writes


@pytest.mark.parametrize("version", VERSIONS)
def test_replica(version: str) -> None:
    answer = parse_member_answer(200, recorded(version, "member_replica"))
    assert (answer.role, answer.timeline, answer.writes_location) == (Role.REPLICA, 1, None)
    assert answer.replay_location is not None
    assert answer.name == ("pg1" if version == "4.1.5" else "")


def test_sync_standby_and_standby_leader_by_their_own_words() -> None:
    assert parse_member_answer(200, recorded("4.1.5", "member_sync_standby")).role is Role.SYNC_STANDBY
    assert parse_member_answer(503, recorded("4.1.5", "member_standby_leader")).role is Role.STANDBY_LEADER


def member(**changes: object) -> dict[str, object]:
    plain = {"name": "pg1", "role": "replica", "state": "running", "host": "10.0.0.1", "port": 5432}
    return {**plain, "api_url": "http://10.0.0.1:8008/patroni", **changes}


def test_words_of_a_future_patroni() -> None:
    told = member(role="witness", state="dreaming", lag="unknown", timeline="soon", tags=["odd"])
    parsed = parse_cluster(json.dumps({"members": [told]})).members[0]
    assert (parsed.role, parsed.state) == (Role.UNKNOWN, "dreaming")
    assert (parsed.lag_bytes, parsed.timeline, parsed.tags) == (None, None, {})


def test_member_without_postgresql_address_is_where_its_api_is() -> None:
    told = member()
    del told["host"], told["port"]
    parsed = parse_cluster(json.dumps({"members": [told]})).members[0]
    assert (parsed.host, parsed.port) == ("10.0.0.1", 5432)


def test_ipv6() -> None:
    told = member(host="2001:db8::1", api_url="https://[2001:db8::1]:8008/patroni")
    assert parse_cluster(json.dumps({"members": [told]})).members[0].host == "2001:db8::1"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no JSON"),
        (b"<html>", "no JSON"),
        (b"\xff\xfe\x00", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no JSON object"),
        (b"{}", "lists no members"),
        (b'{"members": [3]}', "no JSON object"),
        (json.dumps({"members": [member(), member()]}), "the same name"),
        (json.dumps({"members": [member(name="")]}), "no name"),
        (json.dumps({"members": [member(name="x" * 256)]}), "longer than 255 bytes"),
        (json.dumps({"members": [member(api_url=None)]}), "no api_url"),
        (json.dumps({"members": [member(api_url="http://[::1")]}), "cannot be read"),
        (json.dumps({"members": [member(api_url="http://a:99999")]}), "cannot be read"),
        (json.dumps({"members": [member(api_url="ftp://a")]}), "cannot be read"),
        (json.dumps({"members": [member(host="a b\n  server evil")]}), "no address"),
        (json.dumps({"members": [member(host=7)]}), "no address"),
        (json.dumps({"members": [member(port=0)]}), "has a port that is none"),
        (json.dumps({"members": [member(port=True)]}), "has a port that is none"),
    ],
)
def test_what_is_no_cluster_is_refused_with_a_sentence(body: str | bytes, why: str) -> None:
    with pytest.raises(PatroniError, match=why) as refused:
        parse_cluster(body)
    assert refused.value.hint


def test_an_answer_that_is_not_patronis_is_refused() -> None:
    with pytest.raises(PatroniError, match="which version"):
        parse_member_answer(200, b'{"status": "UP"}')


KEYS = sorted(
    {"members", "name", "role", "state", "host", "port", "api_url", "lag", "timeline", "tags", "scope", "pause", "at"}
    | {"scheduled_switchover", "ttl", "loop_wait", "postgresql", "parameters", "max_connections", "standby_cluster"}
    | {"patroni", "xlog", "location", "replayed_location", "version", "server_version", "sync_standby"}
    | {"replication", "application_name"}
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("http://a:1")
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=8),
    max_leaves=30,
)


@given(anything.map(json.dumps) | st.binary(max_size=50) | st.text(max_size=50))
def test_whatever_comes_it_is_a_value_or_a_patroni_error(body: str | bytes) -> None:
    for parse in (parse_cluster, parse_config, lambda text: parse_member_answer(200, text)):
        with suppress(PatroniError):
            parse(body)


hosts = st.text(max_size=12) | st.sampled_from(["a", "10.0.0.1", "::1", "[::1]", "a#", 'a"', "a\\", "$x"])


@given(hosts, hosts, st.integers(-1, 70000))
def test_no_address_gets_through_that_could_end_a_word_of_a_configuration(host: str, api: str, port: int) -> None:
    try:
        view = parse_cluster(json.dumps({"members": [member(host=host, port=port, api_url=f"http://{api}:8008")]}))
    except PatroniError:
        return
    parsed = view.members[0]
    assert set(parsed.host) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-")
    assert 1 <= parsed.port <= 65535
