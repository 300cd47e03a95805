"""The forms in which people write addresses and URLs."""

import pytest
from pydantic import ValidationError

from trunkline.config.addresses import Bind, parse_api_url, parse_bind
from trunkline.config.settings import HAProxySettings
from trunkline.config.values import WrongValueError


@pytest.mark.parametrize(
    ("written", "bind"),
    [
        ("*:5000", Bind("*", 5000)),
        (":5000", Bind("*", 5000)),
        ("5000", Bind("*", 5000)),
        (5000, Bind("*", 5000)),
        (" 10.0.0.5:65535 ", Bind("10.0.0.5", 65535)),
        ("0.0.0.0:1", Bind("0.0.0.0", 1)),
        ("[::]:5000", Bind("::", 5000)),
        ("[::1]:5000", Bind("::1", 5000)),
        ("[2001:DB8:0:0::1]:5000", Bind("2001:db8::1", 5000)),
    ],
)
def test_binds(written: object, bind: Bind) -> None:
    assert parse_bind(written) == bind
    assert parse_bind(str(bind)) == bind


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("10.0.0.5", "a port is a number"),
        ("10.0.0.5:", "a port is a number"),
        ("*:0", "a port is a number"),
        ("*:65536", "a port is a number"),
        (-1, "a port is a number"),
        ("*:5000-5010", "a port is a number"),
        ("*:٥٠٠٠", "a port is a number"),
        ("::1:5000", "in brackets"),
        ("localhost:5000", "127.0.0.1"),
        ("db1:5000", "no name"),
        ("10.0.0:5000", "no name"),
        ("[10.0.0.5:5000", "no name"),
        ("[fe80::1%eth0]:5000", "no zone"),
        ("*:5000\n    mode http", "a port is a number"),
        (True, ""),
        (5000.0, ""),
        (None, ""),
        ([], ""),
    ],
)
def test_no_binds(written: object, hint: str) -> None:
    with pytest.raises(WrongValueError) as error:
        parse_bind(written)
    assert hint in error.value.hint


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ("*:5000", "*:5000", True),
        ("*:5000", "*:5001", False),
        ("*:5000", "10.0.0.5:5000", True),
        ("0.0.0.0:5000", "*:5000", True),
        ("*:5000", "[::1]:5000", False),
        ("[::]:5000", "*:5000", True),
        ("[::]:5000", "10.0.0.5:5000", True),
        ("[::]:5000", "[::1]:5000", True),
        ("10.0.0.5:5000", "10.0.0.6:5000", False),
    ],
)
def test_which_binds_clash(first: str, second: str, clash: bool) -> None:
    assert parse_bind(first).overlaps(parse_bind(second)) is clash
    assert parse_bind(second).overlaps(parse_bind(first)) is clash


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("http://10.0.0.11:8008", "http://10.0.0.11:8008"),
        ("10.0.0.11:9000", "http://10.0.0.11:9000"),
        ("10.0.0.11", "http://10.0.0.11:8008"),
        ("db1.example.com", "http://db1.example.com:8008"),
        ("db_1", "http://db_1:8008"),
        ("https://db1.example.com", "https://db1.example.com:8008"),
        ("http://10.0.0.11:8008/patroni", "http://10.0.0.11:8008"),
        ("http://10.0.0.11:8008/", "http://10.0.0.11:8008"),
        ("http://[2001:DB8::1]:8008", "http://[2001:db8::1]:8008"),
        ("[::1]:8008", "http://[::1]:8008"),
        ("::1", "http://[::1]:8008"),
    ],
)
def test_urls(written: str, url: str) -> None:
    assert parse_api_url(written) == url
    assert parse_api_url(url) == url


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("", "the host is"),
        ("http://", "the host is"),
        ("ftp://10.0.0.11", "http or https"),
        ("http://patroni:geheim@10.0.0.11:8008", "api.username"),
        ("http://10.0.0.11:8008/cluster", "behind the port"),
        ("http://10.0.0.11:8008?x=1", "behind the port"),
        ("http://10.0.0.11:99999", "cannot be read"),
        ("http://10.0.0.11:0", "a port is"),
        ("http://10.0.0.11:port", "cannot be read"),
        ("http://[::1", "cannot be read"),
        ("http://a b:8008", "the host is"),
        ("http://10.0.0.300:8008", "the host is"),
        ("http://[fe80::1%25eth0]:8008", "no zone"),
        (8008, ""),
        (None, ""),
    ],
)
def test_no_urls(written: object, hint: str) -> None:
    with pytest.raises(WrongValueError) as error:
        parse_api_url(written)
    assert hint in error.value.hint


@pytest.mark.parametrize(
    "written",
    ["stdout", "stderr", "/dev/log", "10.0.0.9:514", "[fd00::9]:514", "localhost:514", "syslog.example.com:6514"],
)
def test_where_haproxy_logs_to(written: str) -> None:
    assert HAProxySettings(log=written).log == written


@pytest.mark.parametrize(
    "written",
    [
        *("", "stdou", "ring", "/", "/dev/my log", "/dev/log\n", "stdout local0"),
        *("a:b", "10.0.0.9", "10.0.0.9:0", "10.0.0.9:99999", "10.0.0.9:514-520", "10.0.0.300:514", "-:514"),
        *("::1", "::1:514", "[10.0.0.9]:514", "[x]:514", "[fe80::1%eth0]:514"),
    ],
)
def test_where_haproxy_cannot_log_to(written: str) -> None:
    with pytest.raises(ValidationError, match="host:port"):
        HAProxySettings(log=written)
