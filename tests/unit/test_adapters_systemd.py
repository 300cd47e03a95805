"""What the service manager is told."""

import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from trunkline.adapters.systemd import notify


def test_it_is_told_where_it_asks_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with TemporaryDirectory() as name, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        address = str(Path(name) / "notify")
        manager.bind(address)
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        notify("READY=1")
        assert manager.recv(100) == b"READY=1"


def test_abstract_sockets_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0trunkline-test-notify")
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", "@trunkline-test-notify")
        notify("STOPPING=1")
        assert manager.recv(100) == b"STOPPING=1"


def test_a_manager_that_is_not_there_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/notify")
    notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")
