"""The files of a HAProxy, certificates included."""

from pathlib import Path

import pytest

from trunkline.agent.configuration import Sources, certificate_text, configure, staged_paths, wanted_endpoints
from trunkline.config.settings import ApiSettings, Settings
from trunkline.errors import HAProxyError
from trunkline.model.cluster import ClusterView, Member
from trunkline.model.desired import HostFacts
from trunkline.plan.paths import run_paths

HOST = HostFacts(file_limit=4096, haproxy_version=(2, 6))


def view(scope: str = "demo", scheme: str = "https") -> ClusterView:
    member = Member(name="pg1", host="10.0.0.1", port=5432, api_url=f"{scheme}://10.0.0.1:8008/patroni")
    return ClusterView(scope=scope, members=(member,))


def sources(*clusters: ClusterView | None, **api: str) -> Sources:
    chosen = [
        {
            "patroni": [f"https://10.0.{at}.1:8008"],
            "api": api,
            "services": {"primary": {"bind": [5000 + 10 * at]}, "replicas": {"bind": [5001 + 10 * at]}},
        }
        for at in range(len(clusters))
    ]
    return Sources(settings=Settings.model_validate({"clusters": chosen}), clusters=clusters, host=HOST)


@pytest.fixture
def pem(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "cert").write_text("CERTIFICATE")
    (tmp_path / "key").write_text("KEY\n")
    return {"cert_file": str(tmp_path / "cert"), "key_file": str(tmp_path / "key")}


def test_certificate_and_key_become_one_private_file(pem: dict[str, str]) -> None:
    found = configure(sources(view(), **pem), run_paths(Path("/run/t"), Settings()))
    certificate = found.files[0]
    assert (certificate.path, certificate.text, certificate.mode) == (
        "/run/t/trunkline-demo.pem",
        "CERTIFICATE\nKEY\n",
        0o600,
    )
    assert " crt /run/t/trunkline-demo.pem" in found.files[-1].text


def test_a_renewed_certificate_is_another_configuration(pem: dict[str, str]) -> None:
    paths = run_paths(Path("/run/t"), Settings())
    before = configure(sources(view(), **pem), paths).digest
    assert configure(sources(view(), **pem), paths).digest == before
    Path(pem["cert_file"]).write_text("RENEWED")
    assert configure(sources(view(), **pem), paths).digest != before


def test_a_certificate_that_is_gone_is_an_error_with_its_setting(pem: dict[str, str]) -> None:
    Path(pem["key_file"]).unlink()
    with pytest.raises(HAProxyError, match="there is no") as caught:
        certificate_text(ApiSettings.model_validate(pem))
    assert "api.key_file" in caught.value.hint


def test_what_is_judged_differs_from_what_is_written_by_paths_alone(pem: dict[str, str], tmp_path: Path) -> None:
    paths = run_paths(Path("/run/t"), Settings())
    staged = staged_paths(paths, tmp_path)
    real, copy = configure(sources(view(), **pem), paths), configure(sources(view(), **pem), staged)
    back = {staged.state: paths.state, staged.lua: paths.lua, staged.certificates: paths.certificates}
    for ours, theirs in zip(real.files, copy.files, strict=True):
        text = theirs.text
        for temporary, final in back.items():
            text = text.replace(temporary, final)
        assert (text, theirs.mode) == (ours.text, ours.mode)
        assert Path(theirs.path).parent == tmp_path


def test_a_cluster_that_nobody_has_seen_has_no_services_and_changes_no_names() -> None:
    paths = run_paths(Path("/run/t"), Settings())
    alone = configure(sources(view("a"), None), paths)
    both = configure(sources(view("a"), view("b")), paths)
    assert [service.proxy for service in alone.balancer.services] == ["a_postgres_primary", "a_postgres_replicas"]
    assert {service.proxy for service in alone.balancer.services} < {s.proxy for s in both.balancer.services}


def test_ports_are_known_before_clusters_are() -> None:
    both = sources(view("a"), view("b"))
    assert set(wanted_endpoints(both.settings)) == set(configure(both, run_paths(Path("/run/t"), Settings())).endpoints)
