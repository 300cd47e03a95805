"""Settings from environment variables."""

from pathlib import Path

import pytest
from config_host import Host

from trunkline.config.addresses import Bind


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


class TestEnvironment:
    def test_values_of_every_kind(self, host: Host) -> None:
        environ = {
            "TRUNKLINE_PATRONI": "10.0.0.11,10.0.0.12",
            "TRUNKLINE_SERVICES__PRIMARY__BIND": "127.0.0.1:5000, [::1]:5000",
            "TRUNKLINE_SERVICES__REPLICAS": "null",
            "TRUNKLINE_SERVICES__SYNC_REPLICAS": "{}",
            "TRUNKLINE_SERVICES__ASYNC_REPLICAS__TAGS": "dc=east,fast=true",
            "TRUNKLINE_SERVICES__ASYNC_REPLICAS__TAGS__ROOM": "3",
            "TRUNKLINE_SERVER_MAXCONN": "off",
            "TRUNKLINE_STANDBY_LEADER": "true",
            "TRUNKLINE_STATS__USER": "ops",
            "TRUNKLINE_STATS__PASSWORD": "12345",
            "TRUNKLINE_TIMEOUTS__CONNECT_S": "1.5",
            "TRUNKLINE_DIRECTORY": "",
            "TRUNKLINE_HAPROXY": "/bin/sh",
        }
        settings = host.load(environ=environ).settings
        (cluster,) = settings.clusters
        assert cluster.patroni == ("http://10.0.0.11:8008", "http://10.0.0.12:8008")
        assert cluster.services.primary is not None
        assert cluster.services.primary.bind == (Bind("127.0.0.1", 5000), Bind("::1", 5000))
        assert cluster.services.replicas is None
        assert cluster.services.sync_replicas is not None
        assert cluster.services.async_replicas is not None
        assert cluster.services.async_replicas.tags == {"dc": "east", "fast": True, "room": "3"}
        assert cluster.server_maxconn == "off"
        assert cluster.standby_leader is True
        assert settings.stats.password is not None
        assert settings.stats.password.get_secret_value() == "12345"
        assert settings.timeouts.connect_s == 1.5
        assert settings.directory is None
        assert settings.haproxy.binary == Path("/bin/sh")

    def test_what_others_put_under_our_prefix_is_left_alone(self, host: Host) -> None:
        links = {
            "TRUNKLINE_SERVICE_HOST": "10.96.0.1",
            "TRUNKLINE_SERVICE_PORT_POSTGRES": "5000",
            "TRUNKLINE_PORT": "tcp://10.96.0.1:5000",
            "TRUNKLINE_PORT_5000_TCP_ADDR": "10.96.0.1",
            "TRUNKLINE_REPLICAS_PORT_5001_TCP": "tcp://10.96.0.1:5001",
            "TRUNKLINE_ETCD": "/usr/bin/etcd",
        }
        assert host.load("patroni: [a]\n", environ=links).settings.stats.refresh_s == 5

    @pytest.mark.parametrize(
        ("name", "value", "told"),
        [
            ("STATS__USRE", "x", "an unknown setting (did you mean TRUNKLINE_STATS__USER?)"),
            ("WHATEVER_IT_MAY_BE", "x", "an unknown setting (TRUNKLINE_STATS__USER is stats.user, and so on)"),
            ("", "x", "an unknown setting"),
            ("__", "x", "an unknown setting"),
            ("STATS__USER__X", "x", "an unknown setting"),
            ("STATS__REFRESH_S", "often", 'stats.refresh_s: found "often"; allowed: a whole number from 1 to 3600'),
            ("STATS", "x", "stats: a value; allowed: null or {}; its settings have variables of their own"),
            ("SERVICES__REPLICAS__TAGS", "east", "services.replicas.tags: a value; allowed: name=value"),
            ("CLUSTERS__7__SCOPE", "x", "clusters[7].scope: no place for it"),
            ("PATRONI", "ftp://x", 'patroni: found "ftp://x"'),
            ("STATS__PASSWORD", "geheim\n", "stats.password: found a value that is not shown"),
        ],
    )
    def test_what_is_wrong_is_told_with_its_variable(self, host: Host, name: str, value: str, told: str) -> None:
        faults = host.faults("patroni: [a]\n", environ={f"TRUNKLINE_{name}": value})
        assert f"TRUNKLINE_{name}: {told}" in faults
        assert "geheim" not in faults

    def test_a_setting_of_one_cluster_where_there_are_two(self, host: Host) -> None:
        second = "{scope: b, patroni: [b], services: {primary: null, replicas: {bind: 7}}}"
        text = f"clusters: [{{scope: a, patroni: [a]}}, {second}]\n"
        assert host.fault(text, environ={"TRUNKLINE_SCOPE": "c"}) == (
            "TRUNKLINE_SCOPE: scope: a setting of one cluster (there are 2 clusters; set it in the list)"
        )
        assert host.load(text, environ={"TRUNKLINE_CLUSTERS__1__SCOPE": "c"}).settings.clusters[1].scope == "c"

    def test_a_wrong_value_of_the_file_is_not_covered_up(self, host: Host) -> None:
        faults = host.faults("patroni: [a]\nstats: 5\n", environ={"TRUNKLINE_STATS__USER": "ops"})
        assert "trunkline.yml:2:1: stats: found 5; allowed: a group of settings" in faults
