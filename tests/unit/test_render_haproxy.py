"""How values are written in HAProxy's language; whole configurations are scenes (`test_render_scenes`)."""

from dataclasses import replace

import pytest

from trunkline.model.desired import (
    Balancer,
    CheckTiming,
    CheckTls,
    Endpoint,
    Hold,
    Paths,
    Process,
    Server,
    Service,
    ServiceKind,
    Stats,
    Timeouts,
)
from trunkline.render.haproxy import (
    api,
    bell_socket,
    check_tls,
    comment,
    configuration_text,
    duration,
    haproxy_files,
    hold_socket,
    listener,
    lua_text,
    quoted,
)

KERNEL_LIMIT = 107
"""Bytes of an abstract socket's name after its NUL."""

SERVICE = Service(
    kind=ServiceKind.PRIMARY,
    scope="demo",
    proxy="postgres_primary",
    binds=(Endpoint(address="*", port=5000), Endpoint(address="::1", port=5000)),
    path="/primary",
    servers=(
        Server(
            name="pg1",
            member="pg1",
            postgres=Endpoint(address="10.0.0.11", port=5432),
            api=Endpoint(address="10.0.0.11", port=8008),
        ),
    ),
    timing=CheckTiming(
        interval_ms=250, fast_interval_ms=100, down_interval_ms=100, fall=3, rise=1, silence_timeout_ms=3266
    ),
    tls=None,
    authorization=None,
    hold=Hold(timeout_ms=45_000, unreached_timeout_ms=1000, max_connections=1000, refusal="nobody's here"),
    server_maxconn=92,
)
BALANCER = Balancer(
    paths=Paths(config="/e/h.cfg", lua="/e/t.lua", state="/e/t.state", admin_socket="/r/a.sock", certificates="/e"),
    process=Process(maxconn=100, maxconn_reason="as set", threads=None, hard_stop_after_s=60, log_target="stdout"),
    timeouts=Timeouts(
        connect_ms=1000,
        queue_ms=45_000,
        keepalive_idle_s=30,
        keepalive_interval_s=10,
        keepalive_count=3,
        user_timeout_ms=30_000,
    ),
    services=(SERVICE,),
    stats=None,
    needs_bell=False,
)


@pytest.mark.parametrize(("ms", "text"), [(0, "0s"), (1, "1ms"), (999, "999ms"), (27_000, "27s"), (45_500, "45500ms")])
def test_duration(ms: int, text: str) -> None:
    assert duration(ms) == text


@pytest.mark.parametrize(
    ("text", "written"),
    [("", "''"), ("a b", "'a b'"), ("it's", "'it'\\''s'"), ("'", "''\\'''"), ('\\"$#', "'\\\"$#'")],
)
def test_quoted(text: str, written: str) -> None:
    assert quoted(text) == written


@pytest.mark.parametrize(
    ("text", "written"),
    [("größe #1 \\", "größe #1 \\"), ("a\nb\r\t\0", "a\\nb\\r\\t\\x00"), ("\u2028", "\\u2028"), ("\ud800", "\\ud800")],
)
def test_comment(text: str, written: str) -> None:
    assert comment(text) == written


def test_where_it_listens() -> None:
    binds = [Endpoint(address=address, port=5000) for address in ("*", "10.0.0.5", "::1", "::")]
    assert list(map(listener, binds)) == ["*:5000", "10.0.0.5:5000", "[::1]:5000", "[::]:5000 v4v6"]


def test_an_api_beside_its_server_needs_no_address() -> None:
    server = SERVICE.servers[0]
    assert api(server) == "port 8008"
    assert api(replace(server, api=Endpoint(address="10.1.0.11", port=443))) == "addr 10.1.0.11 port 443"


@pytest.mark.parametrize(("chroot", "seen"), [(None, "/j/x.sock"), ("/j", "/x.sock")])
def test_lua_is_told_its_socket_as_workers_see_it(chroot: str | None, seen: str) -> None:
    process = replace(BALANCER.process, user="haproxy", chroot=chroot)
    lines = configuration_text(replace(BALANCER, process=process, lua_socket="/j/x.sock")).splitlines()
    assert "    stats socket /j/x.sock mode 600 user haproxy level admin" in lines
    assert f"    setenv TRUNKLINE_LUA_SOCKET {seen}" in lines


@pytest.mark.parametrize(
    ("tls", "words"),
    [
        (CheckTls(), "check-ssl verify required ca-file @system-ca"),
        (CheckTls(ca_file="/ca.pem"), "check-ssl verify required ca-file /ca.pem"),
        (CheckTls(ca_file="/ca.pem", verify=False), "check-ssl verify none"),
        (
            CheckTls(certificate_file="/c.pem", server_name="patroni"),
            "check-ssl verify required ca-file @system-ca crt /c.pem check-sni patroni",
        ),
    ],
)
def test_tls_of_checks(tls: CheckTls, words: str) -> None:
    assert check_tls(tls) == words


def test_socket_names_are_short_enough_and_differ() -> None:
    assert hold_socket(SERVICE) == "postgres_primary-*-5000"
    scopes = [":C3:BC" * 80, ":C3:BC" * 79 + ":C3:B6"]
    services = [replace(SERVICE, proxy=f"{scope}_postgres_primary") for scope in scopes]
    names = [hold_socket(service) for service in services]
    names += [bell_socket(replace(BALANCER, services=(it,), needs_bell=True)) or "" for it in (SERVICE, *services)]
    assert len(set(names)) == len(names)
    assert all(0 < len(name.encode()) <= KERNEL_LIMIT for name in names)


def test_two_haproxies_of_one_host_share_no_socket() -> None:
    other = replace(SERVICE, binds=(Endpoint(address="127.0.0.2", port=5000),))
    assert hold_socket(other) != hold_socket(SERVICE)


def test_the_bell_is_only_where_it_is_needed() -> None:
    assert bell_socket(BALANCER) is None
    assert bell_socket(replace(BALANCER, needs_bell=True, services=())) is None


@pytest.mark.parametrize(
    ("changed", "mode"),
    [
        (BALANCER, 0o644),
        (replace(BALANCER, stats=Stats(proxy="stats", binds=(), refresh_s=5)), 0o644),
        (replace(BALANCER, stats=Stats(proxy="stats", binds=(), refresh_s=5, user="me", password="x")), 0o600),
        (replace(BALANCER, services=(replace(SERVICE, authorization="Basic eDp5"),)), 0o600),
    ],
)
def test_secrets_are_for_nobody_else(changed: Balancer, mode: int) -> None:
    *others, config = haproxy_files(changed)
    assert config.mode == mode
    assert {file.mode for file in others} == {0o644}
    assert [file.path for file in (*others, config)] == ["/e/t.lua", "/e/t.state", "/e/h.cfg"]


def test_no_option_without_a_reason() -> None:
    """What is not set leaves no word."""
    text = configuration_text(BALANCER)
    absent = ("nbthread", "user ", "group ", "chroot", "userlist", "stats enable", "frontend hold_bell", "check-ssl")
    assert not [line for line in text.splitlines() for word in absent if line.strip().startswith(word)]
    assert "None" not in text
    assert not [line for line in text.splitlines() if line != line.rstrip()]
    assert "\n\n\n" not in text
    assert text.endswith("\n")


def test_the_script_is_the_same_for_everybody() -> None:
    assert haproxy_files(BALANCER)[0].text == haproxy_files(replace(BALANCER, services=()))[0].text == lua_text()


def test_nobody_to_serve_is_still_a_configuration() -> None:
    text = configuration_text(replace(BALANCER, services=(replace(SERVICE, servers=()),)))
    assert "backend postgres_primary" in text
    assert "server hold" in text
