"""Settings from the configuration of the Patroni on this host."""

from pathlib import Path

import pytest
from config_host import Host

from trunkline.config.discovery import Places
from trunkline.config.settings import ClusterSettings
from trunkline.errors import SettingsError

PLAIN = """\
scope: orders
name: db1
restapi:
  listen: 0.0.0.0:8008
  connect_address: 10.0.0.11:8008
"""

SECURE = """\
scope: orders
restapi:
  listen: 0.0.0.0:8008
  connect_address: db1.example.com:8008
  certfile: {etc}/server.pem
  keyfile: {etc}/server.key
  cafile: {etc}/ca.pem
  verify_client: required
  authentication: {{username: patroni, password: geheim}}
ctl:
  certfile: {etc}/client.pem
  keyfile: {etc}/client.key
bootstrap:
  dcs: {{ttl: 30}}
"""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    host = Host(tmp_path)
    host.patroni.mkdir()
    for name in ("ca.pem", "client.pem", "client.key", "other.pem"):
        (host.patroni / name).touch()
    return host


def put(host: Host, text: str, name: str = "config.yml") -> Path:
    path = host.patroni / name
    path.write_text(text.replace("{etc}", str(host.patroni)).replace("{{", "{").replace("}}", "}"))
    return path


def cluster_of(host: Host, text: str | None = None) -> ClusterSettings:
    (cluster,) = host.load(text).settings.clusters
    return cluster


def test_nothing_else_is_needed(host: Host) -> None:
    path = put(host, PLAIN)
    loaded = host.load()
    (cluster,) = loaded.settings.clusters
    assert cluster.scope == "orders"
    assert cluster.patroni == ("http://10.0.0.11:8008",)
    assert cluster.api.ca_file is None
    assert loaded.patroni_config == path
    assert str(loaded.origin(("clusters", 0, "patroni"))) == f"{path}:5"


def test_tls_and_user_as_patronis_own_client_takes_them(host: Host) -> None:
    put(host, SECURE)
    cluster = cluster_of(host)
    assert cluster.patroni == ("https://db1.example.com:8008",)
    assert cluster.api.ca_file == host.patroni / "ca.pem"
    assert cluster.api.cert_file == host.patroni / "client.pem"
    assert cluster.api.key_file == host.patroni / "client.key"
    assert cluster.api.verify is True
    assert cluster.api.username == "patroni"
    assert cluster.api.password is not None
    assert cluster.api.password.get_secret_value() == "geheim"


def test_ctl_goes_before_restapi_and_the_servers_certificate_is_not_ours(host: Host) -> None:
    text = SECURE.replace("ctl:\n  certfile: {etc}/client.pem\n", "ctl:\n  cacert: {etc}/other.pem\n  insecure: true\n")
    put(host, text)
    api = cluster_of(host).api
    assert api.ca_file == host.patroni / "other.pem"
    assert api.cert_file is None
    assert api.key_file is None
    assert api.verify is False


def test_the_user_of_ctl_goes_before_that_of_restapi(host: Host) -> None:
    put(host, SECURE.replace("ctl:\n", "ctl:\n  authentication: {{username: admin, password: other}}\n"))
    api = cluster_of(host).api
    assert api.username == "admin"
    assert api.password is not None
    assert api.password.get_secret_value() == "other"


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("0.0.0.0:8008", "http://127.0.0.1:8008"),
        ('"*:8009"', "http://127.0.0.1:8009"),
        ("10.0.0.11:8008", "http://10.0.0.11:8008"),
        ('"[::1]:8008"', "http://[::1]:8008"),
        ('"[::]:8008"', "http://127.0.0.1:8008"),
        ('"10.0.0.11,127.0.0.1:8008"', "http://10.0.0.11:8008"),
    ],
)
def test_where_it_listens_stands_in_for_the_address(host: Host, listen: str, url: str) -> None:
    put(host, f"scope: orders\nrestapi: {{listen: {listen}}}\n")
    assert cluster_of(host).patroni == (url,)


def test_settings_of_the_file_go_first(host: Host) -> None:
    put(host, SECURE)
    cluster = cluster_of(host, "balancers: 3\napi: {username: me, password: mine, cert_file: patroni/other.pem}\n")
    assert cluster.scope == "orders"
    assert cluster.balancers == 3
    assert cluster.api.username == "me"
    assert cluster.api.cert_file == host.patroni / "other.pem"
    assert cluster.api.key_file is None, "the key of another certificate"


def test_a_named_cluster_is_not_mixed_with_the_hosts_own(host: Host) -> None:
    path = put(host, SECURE)
    assert cluster_of(host, "patroni: [http://10.9.0.1:8008]\n") == ClusterSettings(patroni=("http://10.9.0.1:8008",))
    asked = host.load("patroni: [https://10.9.0.1:8008]\n", patroni_config=path).settings.clusters[0]
    assert asked.patroni == ("https://10.9.0.1:8008",)
    assert asked.api.ca_file == host.patroni / "ca.pem"


def test_debians_one_file_per_cluster(host: Host) -> None:
    put(host, "etcd3: {host: 10.0.0.1:2379}\n", "dcs.yml")
    put(host, PLAIN, "15-main.yml")
    assert cluster_of(host).scope == "orders"
    second = put(host, PLAIN.replace("orders", "billing"), "16-other.yml")
    with pytest.raises(SettingsError, match="no cluster is known") as error:
        host.load()
    assert "--patroni-config" in error.value.hint
    assert host.load(patroni_config=second).settings.clusters[0].scope == "billing"
    assert host.load(environ={"TRUNKLINE_PATRONI_CONFIG": str(second)}).settings.clusters[0].scope == "billing"


def test_a_place_that_cannot_be_looked_at_is_empty(host: Host) -> None:
    # for root every directory is open; a name that is too long fails the same way
    unseen = host.patroni / ("x" * 300)
    host.places = Places(settings=host.file, patroni=(unseen, host.patroni / "config.yml"), patroni_directory=unseen)
    assert "no cluster is known" in host.faults()
    put(host, PLAIN)
    assert cluster_of(host).scope == "orders"


def test_another_scope_than_the_settings_name(host: Host) -> None:
    put(host, PLAIN)
    assert host.fault("scope: billing\n") == (
        'trunkline.yml:1:1: scope: found "billing" (the Patroni of this host belongs to "orders" '
        "(patroni/config.yml:1); name the other cluster with `patroni:`)"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "patroni/config.yml: no scope"),
        ("", "patroni/config.yml: no restapi.connect_address"),
        ("scope: [x]\nrestapi: 5\n", "patroni/config.yml: no scope"),
        ("scope: orders\nrestapi: {connect_address: 'a b:8008'}\n", 'restapi.connect_address: found "http://a b:8008"'),
        ("scope: 'a\\tb'\n" + PLAIN.partition("\n")[2], ""),
        ("scope: {", "patroni/config.yml:1:9: broken YAML"),
        ("[]", "patroni/config.yml:1:1: a list"),
        (SECURE.replace("ca.pem", "gone.pem"), "restapi.cafile: "),
    ],
)
def test_a_configuration_that_cannot_be_used(host: Host, text: str, told: str) -> None:
    put(host, text)
    if told:
        assert told in host.faults()
    else:
        assert cluster_of(host).scope == "a\\tb"


def test_what_patroni_takes_and_we_would_not_is_no_fault(host: Host) -> None:
    put(host, PLAIN + "scope: orders\ntags: !whatever {a: 1}\n5: x\n")
    assert cluster_of(host).scope == "orders"


def test_several_clusters_have_no_use_for_it(host: Host) -> None:
    path = put(host, PLAIN)
    text = (
        "clusters: [{scope: a, patroni: [a]}, {scope: b, patroni: [b], services: {primary: null, replicas: {bind: 7}}}]"
    )
    assert len(host.load(text).settings.clusters) == 2
    with pytest.raises(SettingsError, match="a file of one cluster"):
        host.load(text, patroni_config=path)


def test_the_store_is_the_one_of_patroni(host: Host) -> None:
    put(
        host,
        PLAIN + "namespace: /db/\netcd3:\n  hosts: 10.0.0.1:2379, 10.0.0.2:2379\n  protocol: https\n  username: u\n",
    )
    store = cluster_of(host).dcs
    assert store.etcd is not None
    assert store.etcd.hosts == ("https://10.0.0.1:2379", "https://10.0.0.2:2379")
    assert (store.namespace, store.etcd.username) == ("/db/", "u")


@pytest.mark.parametrize("line", ["host: 10.0.0.1", "hosts: [10.0.0.1]", "url: http://10.0.0.1:2379"])
def test_the_store_in_other_words(line: str, host: Host) -> None:
    put(host, PLAIN + f"etcd3:\n  {line}\n")
    store = cluster_of(host).dcs
    assert store.etcd is not None
    assert store.etcd.hosts == ("http://10.0.0.1:2379",)


@pytest.mark.parametrize("section", ["", "etcd3: {}\n"])
def test_without_a_store_the_members_are_asked(section: str, host: Host) -> None:
    put(host, PLAIN + section)
    assert cluster_of(host).dcs.etcd is None
    assert cluster_of(host).dcs.patroni_config is None


@pytest.mark.parametrize("section", ["etcd: {host: 10.0.0.1}\n", "consul: {host: 10.0.0.1}\n", "kubernetes: {}\n"])
def test_another_store_is_asked_through_patronis_library(section: str, host: Host) -> None:
    path = put(host, PLAIN + section)
    assert cluster_of(host).dcs.etcd is None
    assert cluster_of(host).dcs.patroni_config == path
