"""A store whose client is not installed is told with the settings, with what to do about it."""

from pathlib import Path

import pytest
from config_host import Host

from trunkline.config import store_library
from trunkline.config.store_library import REMEDY, missing_library

PATRONI = "scope: billing\nrestapi:\n  connect_address: 10.0.0.11:8008\n"
SECTIONS = {"consul": "consul", "etcd": "etcd", "exhibitor": "kazoo", "kubernetes": "urllib3", "zookeeper": "kazoo"}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What Python finds."""
    found = {"patroni", "consul", "etcd", "kazoo", "urllib3"}
    monkeypatch.setattr(store_library, "find_spec", lambda name: name if name in found else None)
    return found


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize(("section", "module"), SECTIONS.items())
def test_each_store_needs_a_client(section: str, module: str, installed: set[str], tmp_path: Path) -> None:
    config = tmp_path / "patroni.yml"
    config.write_text(f"{section}:\n  host: 127.0.0.1:1\n")
    assert missing_library(config) is None
    installed.remove(module)
    missing = missing_library(config)
    assert missing is not None
    assert missing.message == f"the client of {section}, Python's {module}, is not installed beside Trunkline"
    assert missing.hint == REMEDY


def test_of_several_stores_the_client_of_one_will_do(installed: set[str], tmp_path: Path) -> None:
    config = tmp_path / "patroni.yml"
    config.write_text("consul:\n  host: 127.0.0.1:1\nzookeeper:\n  hosts: 127.0.0.1:2\n")
    installed.remove("consul")
    assert missing_library(config) is None


def test_a_store_that_somebody_names_is_wanted(host: Host, installed: set[str]) -> None:
    (host.file.parent / "store.yml").write_text("zookeeper:\n  hosts: [127.0.0.1:1]\n")
    text = "patroni: [http://10.0.0.11:8008]\ndcs:\n  patroni_config: store.yml\n"
    assert host.load(text).warnings == ()
    installed.remove("patroni")
    assert host.fault() == (
        f"trunkline.yml:3:3: dcs.patroni_config: Patroni's library is not installed beside Trunkline ({REMEDY})"
    )


def test_a_store_that_is_found_is_gone_without_and_that_is_said(host: Host, installed: set[str]) -> None:
    host.patroni.mkdir()
    path = host.patroni / "config.yml"
    path.write_text(f"{PATRONI}consul:\n  host: 127.0.0.1:1\n")
    assert host.load().warnings == ()
    installed.remove("consul")
    loaded = host.load()
    assert loaded.settings.clusters[0].dcs.patroni_config == path
    (warning,) = loaded.warnings
    assert warning.startswith(f"the store of {path}:4 is not watched, other members are asked: the client of consul")
    assert REMEDY in warning


def test_a_patroni_config_that_is_not_there_is_a_fault(host: Host, installed: set[str]) -> None:
    text = "patroni: [http://10.0.0.11:8008]\ndcs:\n  patroni_config: store.yml\n"
    assert "dcs.patroni_config: store.yml, which is no file; allowed: a patroni.yml" in host.fault(text)
