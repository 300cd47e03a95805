"""What real HAProxies say of where their servers are, and of those that were set to rest."""

from pathlib import Path

import pytest

from trunkline.errors import RuntimeSocketError
from trunkline.model.desired import Endpoint
from trunkline.model.membership import Placed
from trunkline.wire.server_states import parse_server_states

DATA = Path(__file__).parents[1] / "data" / "haproxy"
VERSIONS = ("2.6.12", "2.8.25")
WRITE, READ = "postgres_primary", "postgres_replicas"


def placed(proxy: str, name: str, address: str, api: str, **rest: bool) -> Placed:
    return Placed(
        proxy=proxy,
        name=name,
        postgres=Endpoint(address=address, port=5432),
        api=Endpoint(address=api, port=8008),
        **rest,
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_a_record_is_read(version: str) -> None:
    assert parse_server_states((DATA / version / "show_servers_state.txt").read_text()) == (
        placed(WRITE, "pg1", "10.0.0.11", "10.0.0.11"),
        placed(WRITE, "pg2", "10.0.0.12", "10.0.0.12", is_in_maint=True),
        placed(READ, "pg1", "10.0.0.11", "10.0.0.11"),
        placed(READ, "pg2", "10.0.0.12", "10.0.0.12", is_drained=True),
        placed(READ, "pg3", "fd00::13", "10.0.0.13", is_in_maint=True),
    )


@pytest.mark.parametrize("text", ["", "1", "2\n# be_name", "1\n# be_name srv_name\na b", "Unknown command"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(RuntimeSocketError, match="show servers state"):
        parse_server_states(text)
