"""Every number that HAProxy gets, and where it comes from."""

from dataclasses import replace
from typing import Any

import pytest

from trunkline.config.settings import ClusterSettings, Settings
from trunkline.model.cluster import ClusterView, DynamicConfig, Member, Role
from trunkline.model.desired import Balancer, CheckTls, Endpoint, HostFacts, Service, ServiceKind
from trunkline.plan.balancer import MAXCONN_CEILING, choose_maxconn, desired_balancer
from trunkline.plan.paths import service_paths

HOST = HostFacts(file_limit=4096, haproxy_version=(2, 8))
CONFIG = DynamicConfig(ttl_s=30, loop_wait_s=10, max_connections=100)


def member(name: str, n: int = 11, *, role: Role = Role.REPLICA, api: str = "") -> Member:
    host = f"10.0.0.{n}"
    return Member(name=name, host=host, port=5432, api_url=api or f"http://{host}:8008/patroni", role=role)


VIEW = ClusterView(scope="demo", members=(member("pg1", 11), member("pg2", 12)), config=CONFIG)


def planned(view: ClusterView = VIEW, host: HostFacts = HOST, **written: Any) -> Balancer:
    """The balancer of one cluster; settings as at the top of a file."""
    cluster = {name: written.pop(name) for name in ClusterSettings.model_fields if name in written}
    settings = Settings.model_validate({"clusters": [{"patroni": ["10.0.0.11"]} | cluster], **written})
    return desired_balancer(settings, (view,), host, service_paths(settings))


def primary(view: ClusterView = VIEW, **written: Any) -> Service:
    return planned(view, **written).services[0]


def replicas(view: ClusterView = VIEW, **written: Any) -> Service:
    return next(it for it in planned(view, **written).services if it.kind is not ServiceKind.PRIMARY)


@pytest.mark.parametrize(
    ("config", "written", "expected"),
    [
        ({}, {}, 100 - 3 - 5),
        ({"superuser_reserved_connections": 10, "reserved_connections": 7}, {}, 100 - 10 - 7 - 5),
        ({"max_connections": 500}, {"balancers": 3}, 164),  # 492 / 3
        ({"max_connections": 501}, {"balancers": 3}, 164),  # what does not divide stays free
        ({"max_connections": 10, "superuser_reserved_connections": 9}, {}, 1),
        ({"max_connections": 20}, {"balancers": 100}, 1),
        ({"max_connections": 2**63 - 1}, {}, 262_143 - 8),  # more than any PostgreSQL takes
        ({}, {"server_maxconn": 40, "balancers": 3}, 40),
        ({}, {"server_maxconn": "off"}, None),
        ({}, {"postgres_port": 6432}, None),  # how many a pooler takes is its own affair
        ({}, {"postgres_port": 6432, "server_maxconn": 40}, 40),
    ],
)
def test_sessions_of_a_server(config: dict[str, Any], written: dict[str, Any], expected: int | None) -> None:
    service = primary(replace(VIEW, config=replace(CONFIG, **config)), **written)
    assert service.server_maxconn == expected


@pytest.mark.parametrize(
    ("ttl_s", "checks", "expected_ms"),
    [
        (30, {}, (10_000 - 2 * 100) // 3),
        (20, {}, 2155),  # a third of the ttl in three answers, and the two pauses between them
        (30, {"fall": 2, "fast_interval_ms": 200}, (10_000 - 200) // 2),
        (30, {"silence_timeout_s": 6}, (6_000 - 200) // 3),
        (30, {"silence_timeout_s": 3600}, (15_000 - 200) // 3),  # never more than half of the ttl
        (10**9, {}, (3_600_000 - 200) // 3),  # HAProxy counts no more than 24 days
        (30, {"silence_timeout_s": 0.5, "interval_ms": 250}, 250),  # never less than the pause between two checks
    ],
)
def test_silence_of_an_api(ttl_s: float, checks: dict[str, Any], expected_ms: int) -> None:
    timing = primary(replace(VIEW, config=replace(CONFIG, ttl_s=ttl_s)), checks=checks).timing
    assert timing.silence_timeout_ms == expected_ms
    total_ms = timing.fall * timing.silence_timeout_ms + (timing.fall - 1) * timing.fast_interval_ms
    assert total_ms <= max(ttl_s * 1000 / 2, timing.fall * timing.interval_ms + 200)


def test_a_definite_no_takes_less_than_half_a_second() -> None:
    timing = primary().timing
    assert timing.interval_ms + (timing.fall - 1) * timing.fast_interval_ms <= 450
    assert (timing.fall, timing.rise) == (3, 1)


@pytest.mark.parametrize(
    ("config", "hold", "expected_ms"),
    [
        ({}, {}, 45_000),  # ttl + loop_wait + 5 s
        ({"ttl_s": 20, "loop_wait_s": 2}, {}, 27_000),
        ({}, {"timeout_s": 7.5}, 7_500),
        ({}, {"enabled": False}, 0),
        ({}, {"enabled": False, "timeout_s": 7.5}, 0),
        ({"ttl_s": 10**9}, {}, 3_600_000),  # HAProxy counts no more than 24 days, and no client waits for one hour
    ],
)
def test_how_long_clients_wait(config: dict[str, Any], hold: dict[str, Any], expected_ms: int) -> None:
    balancer = planned(replace(VIEW, config=replace(CONFIG, **config)), hold=hold)
    assert {service.hold.timeout_ms for service in balancer.services} == {expected_ms}
    assert balancer.timeouts.queue_ms == max(expected_ms, 1000)


def test_other_numbers_of_the_hold() -> None:
    hold = primary(hold={"unreached_timeout_s": 0.25, "max_connections": 7}).hold
    assert (hold.unreached_timeout_ms, hold.max_connections) == (250, 7)
    assert primary().hold.unreached_timeout_ms == 1000


def test_the_longest_hold_is_the_longest_queue() -> None:
    settings = Settings.model_validate(
        {
            "clusters": [
                {"scope": "a", "patroni": ["10.0.0.11"], "hold": {"timeout_s": 60}},
                {"scope": "b", "patroni": ["10.0.1.11"], "services": {"primary": {"bind": 6000}, "replicas": None}},
            ]
        }
    )
    views = (replace(VIEW, scope="a"), replace(VIEW, scope="b"))
    assert desired_balancer(settings, views, HOST, service_paths(settings)).timeouts.queue_ms == 60_000
    assert planned(timeouts={"queue_s": 0.5}).timeouts.queue_ms == 1000
    assert planned(timeouts={"queue_s": 90}).timeouts.queue_ms == 90_000


def test_timeouts_of_the_data_path() -> None:
    chosen = {"connect_s": 0.5, "keepalive_idle_s": 60, "keepalive_interval_s": 5, "keepalive_count": 4}
    timeouts = planned(timeouts=chosen | {"user_timeout_s": 45.5}).timeouts
    assert (timeouts.connect_ms, timeouts.user_timeout_ms) == (500, 45_500)
    assert (timeouts.keepalive_idle_s, timeouts.keepalive_interval_s, timeouts.keepalive_count) == (60, 5, 4)


@pytest.mark.parametrize(
    ("wanted", "limit", "expected", "reason"),
    [
        (2000, 64, 2000, "as set"),
        ("auto", None, MAXCONN_CEILING, "no file limit; PostgreSQL serves fewer"),
        ("auto", 1024, (1024 - 200 - 4 * 6) // 2, "what the file limit of 1024 carries at two files a session"),
        ("auto", 10**6, MAXCONN_CEILING, "the file limit of 1000000 would carry 499888; PostgreSQL serves fewer"),
        ("auto", 100, 1, "what the file limit of 100 carries at two files a session"),
    ],
)
def test_sessions_of_the_process(wanted: int | str, limit: int | None, expected: int, reason: str) -> None:
    host = HostFacts(file_limit=limit, haproxy_version=(2, 8))
    assert choose_maxconn(wanted, host, servers=6) == (expected, reason)


def test_servers_are_counted_in_every_service() -> None:
    balancer = planned()
    servers = sum(len(service.servers) for service in balancer.services)
    assert servers == 4
    assert balancer.process.maxconn == choose_maxconn("auto", HOST, servers)[0]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({}, "/replica"),
        ({"lag_limit": "16MB"}, "/replica?lag=16777216"),
        ({"lag_limit": 0}, "/replica?lag=0"),
        ({"tags": {"ssd": True, "dc": "ost & west", "n": 5}}, "/replica?tag_dc=ost%20%26%20west&tag_n=5&tag_ssd=true"),
        ({"lag_limit": 7, "tags": {"u.-_": "ü/#'"}}, "/replica?lag=7&tag_u.-_=%C3%BC%2F%23%27"),
    ],
)
def test_what_replicas_are_asked(written: dict[str, Any], expected: str) -> None:
    assert replicas(services={"replicas": written}).path == expected


def test_what_each_service_asks() -> None:
    services = planned(services={"sync_replicas": {}, "async_replicas": {"lag_limit": 1}}).services
    assert [(it.proxy, it.path) for it in services] == [
        ("postgres_primary", "/primary"),
        ("postgres_replicas", "/replica"),
        ("postgres_sync_replicas", "/sync"),
        ("postgres_async_replicas", "/async?lag=1"),
    ]
    assert [it.fallback_proxy for it in services] == [None, "postgres_primary", None, None]


def test_who_stands_in_for_replicas() -> None:
    assert replicas(services={"replicas": {"fallback_to_primary": False}}).fallback_proxy is None
    assert replicas(services={"primary": None}).fallback_proxy is None


def test_a_standby_cluster_refuses_at_once_and_says_why() -> None:
    standby = replace(VIEW, config=replace(CONFIG, is_standby_cluster=True))
    by_role = replace(VIEW, members=(member("pg1", role=Role.STANDBY_LEADER),))
    for view in (standby, by_role):
        hold = primary(view).hold
        assert (hold.timeout_ms, "standby cluster" in hold.refusal) == (0, True)
        assert replicas(view).hold.timeout_ms == 45_000
        served = primary(view, standby_leader=True)
        assert (served.path, served.hold.timeout_ms, served.serves_standby_leader) == ("/leader", 45_000, True)
    assert not replicas(standby, standby_leader=True).serves_standby_leader


def test_members_become_servers_sorted_by_name() -> None:
    odd = replace(VIEW, members=(member("z", 13), member("größe", 12), member("a", 11)))
    assert [(it.name, it.member, str(it.postgres)) for it in primary(odd).servers] == [
        ("a", "a", "10.0.0.11:5432"),
        (":gr:C3:B6:C3:9Fe", "größe", "10.0.0.12:5432"),
        ("z", "z", "10.0.0.13:5432"),
    ]
    assert primary(postgres_port=6432).servers[0].postgres.port == 6432


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://10.0.0.11:8008/patroni", "10.0.0.11:8008"),
        ("http://10.9.0.11:8009/patroni", "10.9.0.11:8009"),
        ("http://[fd00::11]:8008", "[fd00::11]:8008"),
        ("http://db1.example.com:8010/patroni", "10.0.0.11:8010"),  # a name stands for the member's own address
        ("http://10.0.0.11/patroni", "10.0.0.11:8008"),
        ("https://10.0.0.11/patroni", "10.0.0.11:443"),
    ],
)
def test_where_the_api_is(url: str, expected: str) -> None:
    view = replace(VIEW, members=(member("pg1", api=url),))
    assert str(primary(view).servers[0].api) == expected


def test_tls_follows_the_members() -> None:
    secure = replace(VIEW, members=(member("pg1", api="https://10.0.0.11:8008/patroni"),))
    assert primary().tls is None
    assert primary(secure).tls == CheckTls()
    api = {"ca_file": "/ca.pem", "cert_file": "/c.pem", "server_name": "patroni.example.com", "verify": True}
    assert primary(replace(secure, scope="bücher"), api=api).tls == CheckTls(
        ca_file="/ca.pem",
        certificate_file="/etc/haproxy/trunkline-:b:C3:BCcher.pem",
        server_name="patroni.example.com",
    )
    assert primary(secure, api={"verify": False}).tls == CheckTls(verify=False)


def test_checks_are_authenticated_only_where_it_is_wanted() -> None:
    api = {"username": "ann", "password": "s3crét:x"}
    assert primary(api=api).authorization is None
    assert primary(api=api | {"authenticate_checks": True}).authorization == "Basic YW5uOnMzY3LDqXQ6eA=="


def test_several_clusters_are_told_apart_and_sorted() -> None:
    settings = Settings.model_validate(
        {"clusters": [{"scope": scope, "patroni": ["10.0.0.11"]} for scope in ("orders", "a b", "unseen")]}
    )
    views = (replace(VIEW, scope="orders"), replace(VIEW, scope="a b"), None)
    services = desired_balancer(settings, views, HOST, service_paths(settings)).services
    assert [service.proxy for service in services] == [
        ":a:20b_postgres_primary",
        ":a:20b_postgres_replicas",
        "orders_postgres_primary",
        "orders_postgres_replicas",
    ]
    assert [service.fallback_proxy for service in services][1::2] == [
        ":a:20b_postgres_primary",
        "orders_postgres_primary",
    ]


def test_only_an_old_haproxy_needs_the_bell() -> None:
    needs = {
        version: planned(host=replace(HOST, haproxy_version=version)).needs_bell for version in ((2, 6), (2, 8), (3, 0))
    }
    assert needs == {(2, 6): True, (2, 8): False, (3, 0): False}


def test_only_an_old_haproxy_needs_a_socket_for_its_lua() -> None:
    """Where workers reach it: beside the admin socket, or in the directory that they are locked into."""
    old = replace(HOST, haproxy_version=(2, 6))
    assert planned().lua_socket is None
    assert planned(host=old).lua_socket == "/run/haproxy/admin.sock.lua"
    jailed = planned(host=old, haproxy={"chroot": "/var/lib/haproxy"}).lua_socket or ""
    assert jailed.startswith("/var/lib/haproxy/trunkline-")


def test_the_page_for_people() -> None:
    assert planned(stats={"enabled": False}).stats is None
    stats = planned(stats={"bind": ["[::1]:7000"], "user": "me", "password": "x", "refresh_s": 9}).stats
    assert stats is not None
    assert (stats.binds, stats.user, stats.password, stats.refresh_s) == (
        (Endpoint(address="::1", port=7000),),
        "me",
        "x",
        9,
    )
