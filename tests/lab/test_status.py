"""`trunkline status` and `trunkline who` in front of a real cluster, well and unwell."""

import os
import socket
from typing import Any

import psycopg

from tests.lab.commands import command, status, who
from trunkline.lab import Lab
from trunkline.lab.balancer import Balancer
from trunkline.lab.processes import wait_until


def test_a_healthy_cluster(lab: Lab, balancer: Balancer) -> None:
    def is_settled() -> bool:
        _, cluster = status(balancer)
        return all(place["takes_sessions"] == place["qualifies"] for m in cluster["members"] for place in m["services"])

    assert wait_until(is_settled, timeout_s=10, poll_s=0.2)
    code, cluster = status(balancer)
    leader, replicas = lab.leader(), sorted(set(lab.members) - {lab.leader()})
    assert code == 0
    assert [(it["kind"], it["members"]) for it in cluster["services"]] == [
        ("primary", [leader]),
        ("replicas", replicas),
    ]
    assert not any(place["is_notable"] for member in cluster["members"] for place in member["services"])
    assert all(f":{lab.layout.members[0].port}" in member["address"] for member in cluster["members"])


def test_nobody_leads_and_then_somebody_does(lab: Lab, balancer: Balancer) -> None:
    old = lab.leader()
    assert old is not None
    lab.kill_node(old)

    def is_told() -> bool:
        code, cluster = status(balancer)
        return code == 1 and cluster["services"][0]["members"] == []

    assert wait_until(is_told, timeout_s=10, poll_s=0.1)
    _, cluster = status(balancer)
    assert "new connections wait" in cluster["services"][0]["sentence"]
    assert "cannot be reached" in next(m for m in cluster["members"] if m["name"] == old)["problem"]

    assert wait_until(lambda: status(balancer)[0] == 0, timeout_s=60, poll_s=0.5)
    _, cluster = status(balancer)
    assert cluster["services"][0]["members"] == [lab.leader()] != [old]


def test_who_by_port_and_by_pid(balancer: Balancer) -> None:
    with psycopg.connect(balancer.conninfo(), autocommit=True) as connection:
        row = connection.execute(
            "select pid, client_port from pg_stat_activity where pid = pg_backend_pid()"
        ).fetchone()
        assert row is not None
        pid, port = row
        host, own_port = _own_address(connection)
        by_port = who(balancer, str(port))
        by_pid = who(balancer, "--pid", str(pid))
    assert [client["client"] for client in by_port] == [f"{host}:{own_port}"]
    assert [client["client"] for client in by_pid] == [f"{host}:{own_port}"]
    assert by_pid[0]["backend"]["client_port"] == port
    assert by_pid[0]["backend"]["pid"] == pid
    told = command(balancer, "who", str(port))
    assert (told.returncode, told.stdout) == (1, "")
    assert "HINT: " in told.stderr


def _own_address(connection: psycopg.Connection[Any]) -> tuple[str, int]:
    with socket.socket(fileno=os.dup(connection.fileno())) as own:
        host, port = own.getsockname()[:2]
    return str(host), int(port)
