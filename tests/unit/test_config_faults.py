"""What is told when settings are wrong: everything, in the words and places of the file, and no secret."""

import os
from pathlib import Path

import pytest
from config_host import Host

from trunkline.errors import SettingsError

SCENARIOS = Path(__file__).parents[1] / "scenario" / "settings"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


class TestFaults:
    @pytest.mark.parametrize("file", sorted(SCENARIOS.glob("*.yml")), ids=lambda file: file.stem)
    def test_every_fault_at_once_with_its_place(self, host: Host, file: Path) -> None:
        told = host.faults(file.read_text(), environ={"TRUNKLINE_TIMEOUTS__CONNECT_S": "9999"})
        golden = file.with_suffix(".faults")
        if "REWRITE" in os.environ:
            golden.write_text(f"{told}\n")
        assert f"{told}\n" == golden.read_text(), "if this is better than before: REWRITE=1 pytest ..."

    def test_no_cluster_names_the_three_ways(self, host: Host) -> None:
        for text in (None, "", "stats: {refresh_s: 9}\n", "patroni: []\n", "clusters: []\n", "scope: x\n"):
            told = host.faults(text)
            assert "no cluster is known" in told
            assert told.count("\n  - ") == 3

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("scope: [x]\n", "trunkline.yml:2:1: scope: found a list"),
            ("clusters: 5\n", "trunkline.yml:2:1: clusters: found 5; allowed: one or a list of: a group of settings"),
            ("clusters: [5]\n", "clusters[0]: found 5"),
            (
                "clusters: [{scope: a}]\n",
                "trunkline.yml:1:1: patroni: a cluster's setting beside the list of clusters "
                "(move it into the entry of its cluster: clusters[0].patroni)",
            ),
            ("services: {primary: {prot: 5000}}\n", "an unknown setting (known here: bind)"),
            ("bind: 5000\n", "bind: an unknown setting (did you mean services.primary.bind?)"),
            ("stats: {user: ops}\n", "stats.user: user without password; allowed: both or neither"),
            ("api: {password: x}\n", "api.password: password without username; allowed: both or neither"),
            ("api: {authenticate_checks: true}\n", "api.authenticate_checks: nobody to authenticate as"),
            ("stats: {bind: 7000}\n", "stats.bind: every address, without a password"),
            ('stats: {bind: ["[::]:7000"]}\n', "stats.bind: every address, without a password"),
            ("stats: {bind: 127.0.0.1:5000}\n", "stats.bind: 127.0.0.1:5000, which is taken"),
            ("services: {primary: {bind: [5000, 5000]}}\n", "services.primary.bind: *:5000, which is taken"),
            ("services: {primary: {bind: 5001}}\n", "services.primary.bind: *:5001, which is taken"),
            ("services: {primary: null, replicas: null}\n", "services: no service at all; allowed: at least one"),
            ("checks: {fast_interval_ms: 300}\n", "checks.fast_interval_ms: 300 in fast_interval_ms; allowed: at most"),
            ("checks: {interval_ms: 50}\n", "checks.interval_ms: 100 in fast_interval_ms; allowed: at most"),
            (
                "hold: {timeout_s: 0.5}\n",
                "hold.timeout_s: 1 in unreached_timeout_s; allowed: at most hold.timeout_s, 0.5",
            ),
            ("haproxy: {user: 'a b'}\n", 'haproxy.user: found "a b"; allowed: the name of a user'),
            ("haproxy: {log: 'stdout local0'}\n", "haproxy.log: found"),
            ("haproxy: {socket: /" + "x" * 100 + "}\n", "allowed: a path of at most 96 bytes"),
            ("haproxy: {threads: .inf}\n", 'haproxy.threads: found ".inf"; allowed: a whole number from 1 to 64'),
            ("timeouts: {connect_s: 1.0e+400}\n", "timeouts.connect_s: found Infinity"),
            ('scope: "a\\nb"\n', 'scope: found "a\\nb"; allowed: printable text'),
            ('scope: "\\ud800"\n', 'scope: found "\\ud800"'),
            ("services: {replicas: {lag_limit: 16XB}}\n", 'lag_limit: found "16XB"; allowed: a size such as'),
            ("services: {replicas: {lag_limit: -1}}\n", "lag_limit: found -1; allowed: a size such as"),
            ("directory: 5\n", "directory: found 5; allowed: a path"),
        ],
    )
    def test_single_faults(self, host: Host, text: str, told: str) -> None:
        assert told in host.faults(f"patroni: [a]\n{text}")

    def test_a_path_from_a_flag_is_shown_as_it_was_written(self, host: Host) -> None:
        with pytest.raises(SettingsError, match=r'--dir: directory: found "/tmp/a b"; allowed: a path without blanks'):
            host.load("patroni: [a]\n", directory=Path("/tmp/a b"))

    def test_rules_say_nothing_of_what_was_left_out(self, host: Host) -> None:
        fault = host.fault("patroni: [a]\nstats: {user: ops, password: [x]}\n")
        assert fault.startswith("trunkline.yml:2:20: stats.password: found a list")

    def test_a_wrong_place_in_a_long_list_is_told_once(self, host: Host) -> None:
        faults = host.faults("patroni: [a, 'b c', d, 'e f']\n")
        assert faults.count("\n") == 2
        assert "patroni[1]" in faults
        assert "patroni[3]" in faults

    def test_tls_without_https(self, host: Host) -> None:
        (host.file.parent / "ca.pem").touch()
        fault = host.fault("patroni: [a]\napi: {ca_file: ca.pem}\n")
        assert fault == "trunkline.yml:2:7: api.ca_file: TLS, but no URL with https (write https://a:8008)"

    def test_several_clusters(self, host: Host) -> None:
        faults = host.faults(
            "clusters:\n"
            "  - scope: a\n    patroni: [a]\n"
            "  - scope: a\n    patroni: [b]\n    services: {replicas: null}\n"
            "  - services: {primary: {bind: 1}, replicas: {bind: 2}}\n"
        )
        assert faults.split("\n  ")[1:] == [
            'trunkline.yml:4:5: clusters[1].scope: "a" a second time; allowed: one of its own '
            "(clusters[0] has it already)",
            "trunkline.yml:6:5: clusters[1].services.primary.bind: *:5000, which is taken; "
            "allowed: an address or port of its own (clusters[0].services.primary.bind takes *:5000)",
            "trunkline.yml:7:5: clusters[2].patroni: no REST API (with several clusters each needs its own)",
            "trunkline.yml:7:5: clusters[2].scope: no scope (with several clusters each needs its name)",
        ]

    def test_anchors_share_settings_between_clusters(self, host: Host) -> None:
        text = (
            "clusters:\n  - &a {scope: a, patroni: [a], balancers: 3}\n"
            "  - {<<: *a, scope: b, patroni: [b], services: {primary: {bind: 1}, replicas: null}}\n"
        )
        first, second = host.load(text).settings.clusters
        assert (first.scope, second.scope) == ("a", "b")
        assert second.balancers == 3
