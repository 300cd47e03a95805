"""The members' configuration keeps the lab's promises."""

import json
from pathlib import Path
from typing import Any

from trunkline.lab.layout import plan_layout
from trunkline.lab.patroni_config import Passwords, dynamic_config, member_config, patronictl_config

LAYOUT = plan_layout(Path("/tmp/demo"), port_offset=1000)
PASSWORDS = Passwords(superuser="secret-1", replication="secret-2", rest_api="secret-3")


def config(number: int = 0) -> dict[str, Any]:
    return member_config(LAYOUT, LAYOUT.members[number], PASSWORDS, Path("/opt/pg/bin"))


def test_patroni_s_rule_for_its_times_holds() -> None:
    dynamic: Any = dynamic_config()
    assert dynamic["ttl"] >= dynamic["loop_wait"] + 2 * dynamic["retry_timeout"]


def test_nobody_comes_in_without_a_password() -> None:
    assert "trust" not in json.dumps(config())
    assert all(line.endswith("scram-sha-256") for line in config()["postgresql"]["pg_hba"])
    assert {"auth": "scram-sha-256"} in config()["bootstrap"]["initdb"]
    assert config()["postgresql"]["parameters"]["unix_socket_directories"] == ""


def test_everything_is_written_inside_the_member_s_directory() -> None:
    postgresql = config(1)["postgresql"]
    inside = str(LAYOUT.members[1].directory)
    for place in (postgresql["data_dir"], postgresql["pgpass"], postgresql["parameters"]["log_directory"]):
        assert place.startswith(inside)
    assert postgresql["parameters"]["dynamic_shared_memory_type"] == "mmap"


def test_the_offset_reaches_every_address() -> None:
    assert config()["postgresql"]["listen"] == "127.0.0.11:6432"
    assert config()["restapi"]["listen"] == "127.0.0.11:9008"
    assert config()["etcd3"] == {"host": "127.0.0.10:3379"} == patronictl_config(LAYOUT, PASSWORDS)["etcd3"]


def test_patronictl_knows_the_password_of_the_rest_api() -> None:
    ctl: Any = patronictl_config(LAYOUT, PASSWORDS)["ctl"]
    assert ctl["authentication"] == config()["restapi"]["authentication"]
