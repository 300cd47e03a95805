"""Processes and listeners of this machine."""

import os
import socket
import threading
from pathlib import Path

import pytest

from trunkline.adapters.listening import obstacle, require_free
from trunkline.adapters.process_table import (
    command_line,
    decode,
    file_limit,
    is_in_the_way,
    is_of,
    listeners,
    names,
    parent,
    program,
)
from trunkline.config.settings import Settings
from trunkline.errors import HAProxyError
from trunkline.model.desired import Endpoint
from trunkline.plan.paths import run_paths

PATHS = run_paths(Path("/run/trunkline"), Settings())
STARTED = "haproxy -W -S /run/trunkline/master.sock -p /run/trunkline/haproxy.pid -f /run/trunkline/haproxy.cfg"


@pytest.mark.parametrize(
    ("words", "is_ours"),
    [
        (STARTED, True),
        (f"haproxy -sf 12 13 -x sockpair@4 {STARTED.partition(' ')[2]}", True),
        (STARTED.replace("haproxy.pid", "haproxy.pid2"), False),
        ("haproxy -c -f /run/trunkline/haproxy.cfg", False),
        ("vi /run/trunkline/haproxy.cfg /run/trunkline/haproxy.pid", False),
        ("", False),
    ],
)
def test_a_haproxy_is_known_by_its_command_line(words: str, is_ours: bool) -> None:
    assert is_of(tuple(words.split(" ")), PATHS) is is_ours


def test_this_process() -> None:
    assert "python" in " ".join(command_line(os.getpid()))
    assert parent(os.getpid()) == os.getppid()
    assert program(os.getpid()) in names([os.getpid()])
    limit = file_limit(os.getpid())
    assert limit is None or limit > 0


def test_one_that_is_gone() -> None:
    gone = 2**22 + 1
    assert (command_line(gone), parent(gone), file_limit(gone)) == ((), None, None)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0100007F", "127.0.0.1"),
        ("00000000", "0.0.0.0"),
        ("00000000000000000000000001000000", "::1"),
        ("0000000000000000FFFF00000100007F", "127.0.0.1"),
        ("B80D0120000000000000000001000000", "2001:db8::1"),
    ],
)
def test_addresses_of_the_kernel(text: str, address: str) -> None:
    assert decode(text) == address


def test_who_listens_is_found_and_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = Endpoint(address="127.0.0.1", port=server.getsockname()[1])
        assert listeners(endpoint) == (os.getpid(),)
        with pytest.raises(HAProxyError) as caught:
            require_free([endpoint])
        assert f"port {endpoint.port} is taken" in caught.value.message
        assert f"(pid {os.getpid()})" in caught.value.message
        require_free([endpoint], ours=[os.getpid()])
    require_free([endpoint])


def test_a_port_that_is_shared_is_taken_all_the_same() -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as server:
        assert "is taken" in obstacle(Endpoint(address="127.0.0.1", port=server.getsockname()[1]))
        assert "is taken" in obstacle(Endpoint(address="*", port=server.getsockname()[1]))


def test_asking_accepts_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = Endpoint(address="127.0.0.1", port=server.getsockname()[1])
    accepted, is_over = [], threading.Event()

    def knock() -> None:
        while not is_over.is_set():
            with socket.socket() as client:
                client.bind(("127.0.0.2", 0))  # from our own address and port a connect would reach itself
                accepted.extend([endpoint] if client.connect_ex((endpoint.address, endpoint.port)) == 0 else [])

    client = threading.Thread(target=knock)
    client.start()
    try:
        assert {obstacle(endpoint) for _ in range(2000)} == {""}
    finally:
        is_over.set()
        client.join()
    assert accepted == []


def test_an_address_of_another_host_is_an_obstacle_with_a_remedy() -> None:
    with pytest.raises(HAProxyError, match=r"cannot listen on 192\.0\.2\.1:5000") as caught:
        require_free([Endpoint(address="192.0.2.1", port=5000)])
    assert "ip_nonlocal_bind" in caught.value.hint


@pytest.mark.parametrize(
    ("there", "wanted", "is_so"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("0.0.0.0", "127.0.0.1", True),
        ("127.0.0.1", "*", True),
        ("::", "127.0.0.1", True),
    ],
)
def test_who_is_in_whose_way(there: str, wanted: str, is_so: bool) -> None:
    assert is_in_the_way(there, wanted) is is_so
