"""Whether Patroni's library and the client of a store are installed, judged without loading either.

Separate from opening the store (`trunkline.agent.patroni_library`), so that it is said with the settings, before
anything is touched.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from trunkline.config.document import read_document
from trunkline.config.faults import Faulty

CLIENTS: Mapping[str, str] = {
    "consul": "consul",
    "etcd": "etcd",
    "etcd3": "etcd",
    "exhibitor": "kazoo",
    "kubernetes": "urllib3",
    "zookeeper": "kazoo",
}
"""By section of patroni.yml: the module that `patroni.dcs.SECTION` imports."""

REMEDY = "pip install 'trunkline[dcs]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingLibrary:
    """What is not there, in lower case, and what to do about it."""

    message: str
    hint: str


def missing_library(config: Path) -> MissingLibrary | None:
    """What the store of this patroni.yml needs and Python does not find; None where all is there, or where the file
    says nothing that can be judged here."""
    try:
        named = set(read_document(config).values) & set(CLIENTS)
    except Faulty:
        return None
    if not _is_installed("patroni"):
        return MissingLibrary(message="Patroni's library is not installed beside Trunkline", hint=REMEDY)
    if not named or any(_is_installed(CLIENTS[name]) for name in named):
        return None  # of several stores the library takes one whose client is there
    modules = " and ".join(sorted({CLIENTS[name] for name in named}))
    message = f"the client of {' and '.join(sorted(named))}, Python's {modules}, is not installed beside Trunkline"
    return MissingLibrary(message=message, hint=REMEDY)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
