"""From all sources to one tree: who is stronger, and where each value comes from."""

from pathlib import Path

import pytest
from config_host import Host

from trunkline.config.addresses import Bind


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


class TestStrength:
    def test_one_line_is_a_whole_file(self, host: Host) -> None:
        loaded = host.load("patroni: [http://10.0.0.11:8008]\n")
        (cluster,) = loaded.settings.clusters
        assert cluster.patroni == ("http://10.0.0.11:8008",)
        assert loaded.file == host.file
        assert str(loaded.origin(("clusters", 0, "patroni"))) == f"{host.file}:1"
        assert str(loaded.origin(("stats", "bind"))) == "default"

    def test_flags_before_environment_before_file_before_defaults(self, host: Host) -> None:
        text = "patroni: [a]\nscope: file\nbalancers: 2\nstats: {refresh_s: 9}\n"
        environ = {"TRUNKLINE_PATRONI": "b1, b2", "TRUNKLINE_SCOPE": "environment"}
        loaded = host.load(text, environ=environ, patroni=["c"])
        (cluster,) = loaded.settings.clusters
        assert cluster.patroni == ("http://c:8008",)
        assert cluster.scope == "environment"
        assert cluster.balancers == 2
        assert loaded.settings.stats.refresh_s == 9
        assert loaded.settings.timeouts.connect_s == 1.0
        keys = [("patroni",), ("scope",), ("balancers",), ("standby_leader",)]
        sources = [loaded.origin(("clusters", 0, *key)).name.rpartition("/")[2] for key in keys]
        assert sources == ["--patroni", "TRUNKLINE_SCOPE", "trunkline.yml", ""]

    def test_no_file_is_needed(self, host: Host) -> None:
        loaded = host.load(patroni=["10.0.0.11"])
        assert loaded.settings.clusters[0].patroni == ("http://10.0.0.11:8008",)
        assert loaded.file is None

    def test_a_flag_that_is_not_given_changes_nothing(self, host: Host) -> None:
        assert host.load("patroni: [a]\nscope: file\n", scope=None).settings.clusters[0].scope == "file"

    def test_a_named_file_is_not_optional(self, host: Host) -> None:
        missing = str(host.file)
        assert (
            host.fault(environ={"TRUNKLINE_CONFIG": missing})
            == "trunkline.yml: no such file (TRUNKLINE_CONFIG names it)"
        )

    def test_one_entry_of_a_list_takes_flags_like_the_top(self, host: Host) -> None:
        loaded = host.load("clusters: [{patroni: [a], scope: x}]\n", scope="y")
        assert loaded.settings.clusters[0].scope == "y"

    def test_relative_paths_start_from_the_file(self, host: Host) -> None:
        (host.file.parent / "ca.pem").touch()
        loaded = host.load("patroni: [https://a]\napi: {ca_file: ca.pem}\ndirectory: run\n")
        assert loaded.settings.clusters[0].api.ca_file == host.file.parent / "ca.pem"
        assert loaded.settings.directory == host.file.parent / "run"

    def test_a_service_can_be_switched_on_and_off(self, host: Host) -> None:
        services = (
            host.load("patroni: [a]\nservices: {replicas: null, sync_replicas: {}}\n").settings.clusters[0].services
        )
        assert services.replicas is None
        assert services.sync_replicas is not None
        assert services.sync_replicas.bind == (Bind("*", 5002),)

    def test_a_password_that_everybody_may_read(self, host: Host) -> None:
        text = "patroni: [a]\nstats: {user: u, password: p}\n"
        host.file.touch(mode=0o600)
        assert host.load(text).warnings == ()
        host.file.chmod(0o644)
        assert host.load(text).warnings == (
            f"{host.file} holds a password and everybody on this host may read it (chmod o-r {host.file})",
        )
