"""What is kept of a cluster for the next start, and to whom it belongs."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.agent.discovery import Known
from trunkline.agent.memory import FILE, as_text, keep, load, recalled, store
from trunkline.config.settings import ClusterSettings
from trunkline.model.cluster import ClusterView, DynamicConfig, Member, Role

LISTED = "http://10.0.0.1:8008"
BY_URL = ClusterSettings.model_validate({"patroni": [LISTED]})
KNOWN = Known(
    view=ClusterView(
        scope="demo",
        members=(
            Member(name="pg1", host="one.example", port=5432, api_url="http://one.example:8008/patroni"),
            Member(name="pg2", host="10.0.0.2", port=5433, api_url="http://10.0.0.2:8008/patroni"),
        ),
        config=DynamicConfig(ttl_s=20, max_connections=300),
    ),
    addresses={"one.example": "10.0.0.1"},
)
TEXT = as_text([(BY_URL, KNOWN)])


def chosen(*urls: str, scope: str | None = None) -> ClusterSettings:
    return ClusterSettings.model_validate({"patroni": urls, "scope": scope})


def test_it_comes_back_as_it_was() -> None:
    assert recalled(TEXT, BY_URL) == KNOWN


def test_it_belongs_to_its_scope_or_else_to_a_url_in_common() -> None:
    assert recalled(TEXT, chosen("http://elsewhere:8008", scope="demo")) == KNOWN
    assert recalled(TEXT, chosen("http://10.0.0.2:8008")) == KNOWN
    assert recalled(TEXT, chosen(LISTED, scope="other")) is None
    assert recalled(TEXT, chosen("http://elsewhere:8008")) is None


def test_a_standby_cluster_is_remembered_and_a_leader_is_not() -> None:
    leader = Member(name="pg1", host="10.0.0.1", port=5432, api_url=LISTED, role=Role.STANDBY_LEADER)
    back = recalled(as_text([(BY_URL, Known(view=ClusterView(scope="demo", members=(leader,))))]), BY_URL)
    assert back is not None
    assert back.view.is_standby_cluster
    assert back.view.leader is None


def test_it_outlasts_a_boot_that_empties_the_run_s_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volatile, kept = tmp_path / "run", tmp_path / "kept"
    volatile.mkdir()
    monkeypatch.setattr("trunkline.agent.memory.lasting", lambda _: kept)
    assert (keep(volatile, TEXT), load(volatile)) == ("", TEXT)
    (volatile / FILE).unlink()
    assert load(volatile) == TEXT


def test_without_a_place_that_lasts_it_is_kept_as_long_as_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("trunkline.agent.memory.lasting", lambda _: tmp_path / "file" / "kept")
    assert (keep(tmp_path, TEXT), load(tmp_path)) == ("", TEXT)


def test_what_is_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    assert FILE in keep(tmp_path, TEXT)


def test_lag_and_roles_do_not_change_the_text() -> None:
    moved = tuple(
        Member(name=m.name, host=m.host, port=m.port, api_url=m.api_url, role=Role.REPLICA, lag_bytes=7, timeline=3)
        for m in KNOWN.view.members
    )
    view = ClusterView(scope="demo", members=moved, config=KNOWN.view.config)
    assert as_text([(BY_URL, Known(view=view, addresses=KNOWN.addresses))]) == TEXT


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"version": 1}', '{"version": 2, "clusters": []}', "9" * 9999]
)
def test_what_cannot_be_read_is_none(text: str) -> None:
    assert recalled(text, BY_URL) is None


@given(st.data())
def test_a_part_that_is_something_else_is_none_or_harmless(data: st.DataObject) -> None:
    raw = json.loads(TEXT)
    cluster = raw["clusters"][0]
    cluster[data.draw(st.sampled_from(sorted(cluster)))] = data.draw(
        st.none() | st.integers() | st.text() | st.lists(st.none()) | st.dictionaries(st.text(), st.integers())
    )
    known = recalled(json.dumps(raw), BY_URL)
    assert known is None or known.view.members


def test_the_file_is_ours_alone(tmp_path: Path) -> None:
    assert load(tmp_path) == ""
    store(tmp_path, TEXT)
    assert load(tmp_path) == TEXT
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
