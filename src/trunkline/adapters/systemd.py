"""systemd: telling it how we are (sd_notify), and asking it about the unit that runs HAProxy."""

import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from trunkline.errors import HAProxyError

TIMEOUT_S = 60.0


def notify(state: str) -> None:
    """Tell the service manager, where it asked to be told; the protocol is sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.sendto(state.encode(), address)


def watchdog_s() -> float | None:
    """How often this process has to say that it is well (sd_watchdog_enabled(3)); None where nobody asks."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    told = os.environ.get("WATCHDOG_USEC", "")
    return int(told) / 1e6 if told.isascii() and told.isdecimal() and int(told) > 0 else None


def is_in_charge() -> bool:
    """Whether systemd runs this machine (sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


def is_active(unit: str) -> bool:
    """Whether the unit runs."""
    return _systemctl("is-active", "--quiet", unit).returncode == 0


def property_of(unit: str, name: str) -> str:
    """One property of a unit; empty where it has none."""
    return _systemctl("show", "--value", f"--property={name}", unit).stdout.strip()


def reload(unit: str) -> None:
    """Have the unit reload. Raises HAProxyError in systemd's words."""
    answer = _systemctl("reload", unit)
    if answer.returncode != 0:
        raise HAProxyError(
            f"systemctl reload {unit} failed: {answer.stderr.strip() or f'status {answer.returncode}'}",
            hint=f"see: journalctl -u {unit} -n 50",
        )


def _systemctl(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["systemctl", *words], capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HAProxyError(f"systemctl {words[0]} cannot be run: {error}") from None
