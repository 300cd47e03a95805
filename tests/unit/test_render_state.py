"""The state file at rest, line by line as HAProxy's manual describes it ("show servers state", version 1)."""

from dataclasses import replace

from test_render_haproxy import BALANCER, SERVICE

from trunkline.model.desired import Endpoint, Server
from trunkline.render.state import COLUMNS, resting_state

FIELDS = 25


def test_one_server() -> None:
    version, header, line = resting_state(BALANCER).splitlines()
    assert version == "1"
    assert header == f"# {COLUMNS}"
    assert line == "1 postgres_primary 1 pg1 10.0.0.11 0 0 1 1 0 1 1 0 6 0 0 0 - 5432 - 0 8008 - - 0"
    assert len(line.split()) == len(COLUMNS.split()) == FIELDS


def test_every_server_of_every_service_and_nobody_else() -> None:
    second = Server(
        name=":gr:C3:B6:C3:9Fe",
        member="größe",
        postgres=Endpoint(address="fd00::12", port=5433),
        api=Endpoint(address="fd00:1::12", port=8009),
    )
    replicas = replace(SERVICE, proxy="postgres_replicas", servers=(*SERVICE.servers, second))
    lines = resting_state(replace(BALANCER, services=(SERVICE, replicas))).splitlines()[2:]
    assert [line.split()[1:5] for line in lines] == [
        ["postgres_primary", "1", "pg1", "10.0.0.11"],
        ["postgres_replicas", "1", "pg1", "10.0.0.11"],
        ["postgres_replicas", "2", ":gr:C3:B6:C3:9Fe", "fd00::12"],
    ]
    assert [(line.split()[18], line.split()[21]) for line in lines] == [("5432", "8008")] * 2 + [("5433", "8009")]


def test_no_server_at_all() -> None:
    assert resting_state(replace(BALANCER, services=())) == f"1\n# {COLUMNS}\n"
