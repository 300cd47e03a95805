"""HAProxy's replies, as recorded from 2.6.12 and 2.8.25, whole, cut short, and made up."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import RuntimeSocketError
from trunkline.model.proxy import Health, ServerState
from trunkline.wire.runtime import (
    UnknownCommandError,
    Worker,
    parse_held,
    parse_info,
    parse_reply,
    parse_session_ids,
    parse_sessions,
    parse_stat,
    parse_stat_of_some,
    parse_workers,
)

RECORDED = Path(__file__).parent.parent / "data" / "haproxy"
VERSIONS = ("2.6.12", "2.8.25")
pytestmark = pytest.mark.parametrize("version", VERSIONS)


def raw(version: str, name: str) -> str:
    return (RECORDED / version / f"{name}.txt").read_text()


def recorded(version: str, name: str) -> str:
    return parse_reply(raw(version, name))


def server(version: str, name: str, proxy: str, member: str) -> ServerState:
    found = next(p for p in parse_stat(recorded(version, name)) if p.name == proxy).server(member)
    assert found is not None
    return found


def test_info(version: str) -> None:
    info = parse_info(recorded(version, "show_info"))
    assert info.version.startswith(version)
    assert info.pid > 1
    assert info.maxconn == 1936
    assert not info.is_stopping


def test_proxies(version: str) -> None:
    proxies = parse_stat(recorded(version, "show_stat_no_primary"))
    assert [p.name for p in proxies] == ["hold_bell", "postgres_primary", "postgres_replicas", "stats"]
    primary, replicas = proxies[1:3]
    assert (primary.frontend_status, primary.backend_status) == ("OPEN", "UP")
    assert [s.name for s in primary.servers if s.takes_sessions and not s.is_backup] == []
    assert primary.frontend_sessions >= 1
    assert primary.sessions == 0
    assert replicas.sessions == 1


def test_server_that_passes_its_check(version: str) -> None:
    state = server(version, "show_stat_maint", "postgres_primary", "pg1")
    assert (state.health, state.check_status, state.check_code) == (Health.UP, "L7OK", 200)
    assert state.address == "127.0.0.11:5432"
    assert state.sessions_limit == 92
    assert state.takes_sessions


def test_server_that_fails_its_check(version: str) -> None:
    state = server(version, "show_stat_maint", "postgres_primary", "pg2")
    assert (state.health, state.check_status, state.check_code) == (Health.DOWN, "L7STS", 503)
    assert state.check_description == "Layer7 wrong status: Service Unavailable"
    assert not state.takes_sessions


def test_server_by_hand(version: str) -> None:
    assert server(version, "show_stat_maint", "postgres_replicas", "pg2").health is Health.DRAIN
    assert server(version, "show_stat_maint", "postgres_replicas", "pg3").health is Health.MAINT


def test_the_holding_server(version: str) -> None:
    state = server(version, "show_stat_maint", "postgres_primary", "hold")
    assert (state.health, state.is_backup, state.address, state.check_status) == (Health.NO_CHECK, True, "unix", "")


def test_a_check_under_way_counts_as_the_last_one(version: str) -> None:
    text = recorded(version, "show_stat_in_progress")
    assert ",* L7" in text
    codes = {s.check_status for p in parse_stat(text) for s in p.servers}
    assert codes <= {"L7OK", "L7STS", "L7RSP", "L7TOUT", ""}


@pytest.mark.parametrize(("name", "mark"), [("show_stat_up_2_of_3", ",UP 2/3,"), ("show_stat_up_1_of_3", ",UP 1/3,")])
def test_a_server_that_is_about_to_fall_is_up(version: str, name: str, mark: str) -> None:
    text = recorded(version, name)
    assert mark in text
    assert server(version, name, "postgres_replicas", "pg3").health is Health.UP


def test_a_silent_api(version: str) -> None:
    states = [s for p in parse_stat(recorded(version, "show_stat_silent")) for s in p.servers]
    silent = [state for state in states if state.check_status == "L7TOUT"]
    assert {(state.name, state.check_code) for state in silent} == {("pg3", None)}


@pytest.mark.parametrize(
    ("status", "health"),
    [
        ("DOWN 1/2", Health.DOWN),
        ("NOLB 1/3", Health.NOLB),
        ("NOLB", Health.NOLB),
        ("DRAIN", Health.DRAIN),
        ("MAINT (via a/b)", Health.MAINT),
        ("no check", Health.NO_CHECK),
        ("", Health.UNKNOWN),
        ("SLEEPING", Health.UNKNOWN),
    ],
)
def test_states_of_a_server(version: str, status: str, health: Health) -> None:
    text = recorded(version, "show_stat_maint").replace(",MAINT,", f",{status},")
    assert server_in(text, "pg3").health is health


def server_in(text: str, member: str) -> ServerState:
    found = next(p for p in parse_stat(text) if p.name == "postgres_replicas").server(member)
    assert found is not None
    return found


def test_several_answers_in_a_row(version: str) -> None:
    text = recorded(version, "show_stat_maint")
    header, *rows = text.splitlines(keepends=True)
    halves = [header + "".join(row for row in rows if row.startswith(name)) for name in ("postgres_p", "postgres_r")]
    refused = "[3]: No such proxy.\n\n"
    wanted = tuple(one for one in parse_stat(text) if one.name.startswith("postgres_"))
    assert len(wanted) == 2
    assert parse_stat_of_some(f"{refused}{halves[0]}\n{refused}{halves[1]}\n") == wanted
    assert parse_stat_of_some(refused) == ()


def test_other_refusals_among_several_are_told(version: str) -> None:
    for more in ("", recorded(version, "show_stat_maint")):
        with pytest.raises(RuntimeSocketError):
            parse_stat_of_some(f"[3]: No such proxy.\n\n{more}\n[3]: Permission denied\n")


def test_a_sentence_with_commas_and_quotes(version: str) -> None:
    text = recorded(version, "show_stat_maint").replace(
        "HTTP content check did not match", '"no ""xlog"", no\nanswer"', 1
    )
    assert server_in(text, "pg1").check_description == 'Layer7 invalid response: no "xlog", no\nanswer'


def test_held(version: str) -> None:
    assert parse_held(recorded(version, "trunkline_held")) == (("postgres_primary", 2 if version == "2.6.12" else 1),)


def test_workers(version: str) -> None:
    workers = parse_workers(parse_reply(raw(version, "show_proc")))
    assert [w.is_old for w in workers] == ([False, True, True] if version == "2.6.12" else [False, True])
    assert parse_workers("#<PID> <type>\n12  master  0\n# workers\n13 worker 0\n# programs\n") == (
        Worker(pid=13, is_old=False),
    )


def test_sessions(version: str) -> None:
    ids = parse_session_ids(recorded(version, "show_sess"))
    sessions = {
        session.session_id: session
        for session in parse_sessions(recorded(version, "show_sess_id"), datetime(2026, 11, 25))
    }
    assert len(ids) == 1
    assert parse_session_ids(recorded(version, "show_sess"), ("postgres_replicas", "pg1")) == ids
    for elsewhere in (("postgres_replicas", "pg2"), ("postgres_primary", "pg1")):
        assert parse_session_ids(recorded(version, "show_sess"), elsewhere) == ()
    one = sessions[ids[0]]
    assert (one.frontend, one.backend, one.server) == ("postgres_replicas", "postgres_replicas", "pg1")
    assert one.client.startswith("127.0.0.1:")
    assert one.towards_server.startswith("127.0.0.1:")
    assert one.client != one.towards_server
    assert 80_000 < one.age_s < 90_000
    held = next(session for name, session in sessions.items() if name not in ids)
    assert (held.backend, held.server, held.towards_server) == ("", "", "")


def test_sessions_of_lua_sockets_are_never_asked_for(version: str) -> None:
    text = recorded(version, "show_sess")
    sockets = [line.split(":")[0] for line in text.splitlines() if "proto=?" in line]
    assert sockets
    assert not set(sockets) & set(parse_session_ids(text))


def test_session_over_ipv6(version: str) -> None:
    text = recorded(version, "show_sess_id").replace("source=127.0.0.1:", "source=2001:db8::7:")
    assert parse_sessions(text, datetime(2026, 11, 25))[0].client.startswith("[2001:db8::7]:")


def test_refusals(version: str) -> None:
    with pytest.raises(UnknownCommandError):
        recorded(version, "unknown_command")
    with pytest.raises(RuntimeSocketError, match="No such backend"):
        recorded(version, "no_such_backend")


def test_news_of_what_was_done_is_no_refusal(version: str) -> None:
    assert parse_reply("\n[5]: New server registered.\n\n") == "New server registered."
    assert parse_reply("\n\n") == ""


@given(cut=st.integers(0, 4000))
def test_a_reply_that_is_cut_short_is_an_error_or_leaves_servers_out(version: str, cut: int) -> None:
    text = recorded(version, "show_stat_maint")
    whole = {(s.proxy, s.name): s for p in parse_stat(text) for s in p.servers}
    try:
        proxies = parse_stat(text[:cut])
    except RuntimeSocketError:
        return
    assert all(whole[s.proxy, s.name] == s for p in proxies for s in p.servers)


@given(st.text(max_size=80) | st.text(max_size=80, alphabet='#,\n"pxname0x: []<>=proto123Version'))
def test_whatever_comes_it_is_a_value_or_an_error_of_ours(version: str, text: str) -> None:
    for parse in (
        parse_reply,
        parse_info,
        parse_stat,
        parse_stat_of_some,
        parse_held,
        parse_workers,
        parse_session_ids,
        lambda it: parse_sessions(it, datetime(2026, 1, 1)),
    ):
        with suppress(RuntimeSocketError):
            parse(text)
