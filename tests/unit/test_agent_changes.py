"""What a log line says of a reload."""

from dataclasses import replace
from pathlib import Path

import pytest

from trunkline.agent.changes import changes
from trunkline.config.settings import Settings
from trunkline.model.cluster import ClusterView, DynamicConfig, Member
from trunkline.model.desired import Balancer, HostFacts
from trunkline.plan.balancer import desired_balancer
from trunkline.plan.paths import run_paths

PG1 = Member(name="pg1", host="10.0.0.1", port=5432, api_url="http://10.0.0.1:8008/patroni")
PG2 = Member(name="pg2", host="10.0.0.2", port=5432, api_url="http://10.0.0.2:8008/patroni")


def balancer(
    *members: Member, config: DynamicConfig | None = None, limit: int | None = None, **settings: object
) -> Balancer:
    chosen = Settings.model_validate({"clusters": [{"patroni": ["http://10.0.0.1:8008"], **settings}]})
    view = ClusterView(scope="demo", members=members or (PG1, PG2), config=config or DynamicConfig())
    host = HostFacts(file_limit=limit, haproxy_version=(2, 6))
    return desired_balancer(chosen, (view,), host, run_paths(Path("/run"), chosen))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (balancer(PG1), balancer(), ("pg2 joined at 10.0.0.2:5432",)),
        (balancer(), balancer(PG1), ("pg2 left",)),
        (balancer(), balancer(PG1, replace(PG2, port=5433)), ("pg2 moved from 10.0.0.2:5432 to 10.0.0.2:5433",)),
        (
            balancer(),
            balancer(config=DynamicConfig(max_connections=200)),
            (
                "postgres_primary: sessions per server 92 -> 192",
                "postgres_replicas: sessions per server 92 -> 192",
            ),
        ),
        (balancer(), balancer(services={"replicas": None}), ("postgres_replicas is served no more",)),
        (balancer(services={"replicas": None}), balancer(), ("postgres_replicas is served on *:5001",)),
        (balancer(), balancer(limit=1024), ("maxconn 10000 -> 404",)),
        (balancer(), balancer(), ()),
    ],
)
def test_words(old: Balancer, new: Balancer, words: tuple[str, ...]) -> None:
    assert changes(old, new) == words


def test_a_longer_ttl_is_a_longer_hold_and_other_checks() -> None:
    words = changes(balancer(), balancer(config=DynamicConfig(ttl_s=60)))
    assert "postgres_primary: hold 45 s -> 75 s" in words
    assert "postgres_primary: timing of checks" in words


def test_no_difference_is_without_words() -> None:
    old = balancer()
    new = replace(old, paths=replace(old.paths, lua="/elsewhere"))
    assert changes(old, new) == ("settings",)
