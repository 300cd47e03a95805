"""Laws of reading and naming, whatever comes in: a value or the error that is meant for it, never another exception."""

import json
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunkline.errors import PatroniError, RuntimeSocketError
from trunkline.model.cluster import ClusterView, DynamicConfig, MemberAnswer
from trunkline.model.proxy import Health, ProcessInfo, ProxyState, ProxyView, ServerState, Session
from trunkline.testing.fake_haproxy import info_text, session_text, sessions_text, stat_text
from trunkline.wire.names import to_haproxy, to_patroni
from trunkline.wire.patroni import parse_cluster, parse_config, parse_member_answer
from trunkline.wire.runtime import (
    parse_held,
    parse_info,
    parse_reply,
    parse_session_ids,
    parse_sessions,
    parse_stat,
    parse_workers,
    require_all_done,
)
from trunkline.wire.server_states import parse_server_states

DATA = Path(__file__).parents[1] / "data"
PATRONI = [path.read_text() for path in sorted((DATA / "patroni").glob("*/*.json"))]
HAPROXY = [path.read_text() for path in sorted((DATA / "haproxy").glob("*/*.txt"))]
NOW = datetime(2026, 11, 24, 12)

members = st.text(min_size=1)
urls = st.builds("{}://{}:{}".format, st.sampled_from(["http", "https", "ftp"]), st.text(max_size=8), st.integers(0))
json_values = st.recursive(
    urls | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def nodes(document: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The path of every value in a document."""
    children: list[tuple[str | int, object]] = []
    if isinstance(document, dict):
        children = list(document.items())
    elif isinstance(document, list):
        children = list(enumerate(document))
    return [path, *(found for key, child in children for found in nodes(child, (*path, key)))]


def put(document: object, path: tuple[str | int, ...], value: object) -> object:
    """The document with another value there."""
    if not path:
        return value
    first, *rest = path
    copy = dict(document) if isinstance(document, dict) else list(document) if isinstance(document, list) else None
    assert copy is not None
    copy[first] = put(copy[first], tuple(rest), value)  # type: ignore[index]
    return copy


@st.composite
def damaged_json(draw: st.DrawFn) -> str:
    """Something that Patroni once said, with one value in it replaced."""
    document = json.loads(draw(st.sampled_from(PATRONI)))
    return json.dumps(put(document, draw(st.sampled_from(nodes(document))), draw(json_values)))


@st.composite
def damaged_text(draw: st.DrawFn) -> str:
    """Something that HAProxy once said, with one stretch of it replaced."""
    text = draw(st.sampled_from(HAPROXY))
    start = draw(st.integers(0, len(text)))
    return text[:start] + draw(st.text(max_size=6)) + text[start + draw(st.integers(0, 40)) :]


@given(members)
@example("hold")
@example("FRONTEND")
@example(":68old")
@example("pg:1")
@example("ünïcode/1")
@example("\ud800")
def test_every_member_has_a_name_that_haproxy_takes_and_that_leads_back(member: str) -> None:
    name = to_haproxy(member)
    assert name.isascii()
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-")
    assert name not in ("", "hold", "FRONTEND", "BACKEND")
    assert to_patroni(name) == member


@given(st.from_regex(r"[A-Za-z0-9_.-][A-Za-z0-9_.:-]*", fullmatch=True))
def test_a_name_that_haproxy_takes_stays(member: str) -> None:
    assert to_haproxy(member) == (f":{member}" if member in ("hold", "FRONTEND", "BACKEND") else member)


@given(st.text() | st.text(alphabet=":0123456789ABCDEFhold"))
def test_every_server_name_can_be_shown(name: str) -> None:
    member = to_patroni(name)
    assert member == name or to_haproxy(member) == name


def read_patroni(body: str | bytes) -> list[object]:
    """Each reader's value, or None where it refused in one sentence with a remedy."""
    values: list[object] = []
    refusals: list[PatroniError] = []
    for read in (parse_cluster, parse_config, lambda body: parse_member_answer(200, body)):
        try:
            values.append(read(body))
        except PatroniError as error:
            refusals.append(error)
            values.append(None)
    assert all(error.message and "\n" not in error.message and error.hint for error in refusals)
    return values


@given(st.binary() | st.text() | json_values.map(json.dumps))
def test_anything_may_answer_in_patronis_place(body: str | bytes) -> None:
    read_patroni(body)


@given(damaged_json())
@example('{"members": [{"name": "a", "api_url": "http://a b:8008"}]}')
@example('{"members": [{"name": "a", "api_url": "http:///patroni"}]}')
def test_what_patroni_says_is_read_or_refused(body: str) -> None:
    view, config, answer = read_patroni(body)
    if isinstance(view, ClusterView):
        assert list(view.members) == sorted(view.members, key=lambda member: member.name)
        for member in view.members:
            assert 1 <= member.port <= 65535
            assert member.host
            assert not set(member.host) & set(" \t\r\n\"'\\#{}[]")
            assert member.api_url.isprintable()
            assert not set(urlsplit(member.api_url).hostname or " ") & set(" \t\r\n\"'\\#{}[]")
            assert member.lag_bytes is None or member.lag_bytes >= 0
    if isinstance(config, DynamicConfig):
        assert config.ttl_s > 0
        assert config.loop_wait_s > 0
        assert config.max_connections > 0
        assert min(config.superuser_reserved_connections, config.reserved_connections) >= 0
    if isinstance(answer, MemberAnswer):
        assert not (answer.accepts_writes and answer.writes_location is None)


@pytest.mark.parametrize("body", PATRONI)
def test_a_record_is_read_by_somebody(body: str) -> None:
    assert any(value is not None for value in read_patroni(body))


READERS = (
    parse_reply,
    parse_info,
    parse_stat,
    parse_held,
    parse_workers,
    parse_session_ids,
    parse_server_states,
    require_all_done,
)


def read_haproxy(text: str) -> None:
    refusals: list[RuntimeSocketError] = []
    for read in READERS:
        try:
            read(text)
        except RuntimeSocketError as error:
            refusals.append(error)
    assert all(error.message and "\n" not in error.message for error in refusals)
    parse_sessions(text, NOW)


@given(st.text() | damaged_text())
def test_what_haproxy_says_is_read_or_refused(text: str) -> None:
    read_haproxy(text)


tokens = st.from_regex(r"[A-Za-z0-9_.-]{1,12}", fullmatch=True)
counts = st.integers(0, 2**31)
addresses = st.builds(
    lambda host, port: f"{host}:{port}", st.sampled_from(["10.0.0.11", "[fd00::11]"]), st.integers(1, 65535)
)
words = st.from_regex(r"[A-Za-z0-9 ,\"]{0,20}", fullmatch=True)


@st.composite
def proxies(draw: st.DrawFn) -> tuple[ProxyState, ...]:
    names = sorted(draw(st.sets(tokens, max_size=3)))
    return tuple(draw(proxy(name)) for name in names)


@st.composite
def proxy(draw: st.DrawFn, name: str) -> ProxyState:
    """One with a frontend, a backend or both under one name."""
    has_frontend, has_backend = draw(st.sampled_from([(True, False), (False, True), (True, True)]))
    servers = sorted(draw(st.sets(tokens, max_size=3))) if has_backend else []
    return ProxyState(
        name=name,
        frontend_status=draw(st.sampled_from(["OPEN", "STOP"])) if has_frontend else "",
        backend_status=draw(st.sampled_from(["UP", "DOWN"])) if has_backend else "",
        frontend_sessions=draw(counts) if has_frontend else 0,
        sessions=draw(counts) if has_backend else 0,
        queued=draw(counts) if has_backend else 0,
        servers=tuple(draw(server(name, one)) for one in servers),
    )


@st.composite
def server(draw: st.DrawFn, proxy: str, name: str) -> ServerState:
    return ServerState(
        proxy=proxy,
        name=name,
        address=draw(addresses),
        health=draw(st.sampled_from([health for health in Health if health is not Health.UNKNOWN])),
        sessions=draw(counts),
        queued=draw(counts),
        check_status=draw(st.sampled_from(["", "L7OK", "L4CON", "INI"])),
        check_code=draw(st.none() | counts),
        check_description=draw(words),
        check_duration_ms=draw(st.none() | counts),
        last_change_s=draw(counts),
        is_backup=draw(st.booleans()),
        sessions_limit=draw(st.none() | counts),
        total=draw(counts),
        failed_connects=draw(counts),
    )


@given(proxies(), st.builds(ProcessInfo, version=tokens, pid=counts, uptime_s=counts, maxconn=counts))
def test_what_is_written_as_haproxy_writes_it_is_read_back(states: tuple[ProxyState, ...], info: ProcessInfo) -> None:
    view = ProxyView(info=info, proxies=states)
    assert parse_stat(stat_text(view)) == states
    assert parse_info(info_text(view)) == info


@given(
    st.lists(
        st.builds(
            Session,
            session_id=st.integers(1, 2**48).map(hex),
            frontend=tokens,
            backend=tokens,
            server=tokens,
            client=addresses,
            towards_server=addresses | st.just(""),
            age_s=st.integers(0, 10**6),
        ),
        max_size=4,
        unique_by=lambda session: session.session_id,
    )
)
def test_sessions_are_read_back(sessions: list[Session]) -> None:
    assert parse_session_ids(sessions_text(sessions)) == tuple(session.session_id for session in sessions)
    text = "".join(session_text(session, NOW) + "\n" for session in sessions)
    assert parse_sessions(text, NOW) == tuple(sessions)
