"""The lab does what it says: every way to break it breaks it, and healing heals."""

import subprocess
from collections.abc import Callable

import psycopg
import pytest

from trunkline.errors import LabError
from trunkline.lab import Lab
from trunkline.lab.member import Condition


def others(lab: Lab, name: str) -> list[str]:
    return [other for other in lab.members if other != name]


def leader_of(lab: Lab) -> str:
    leader = lab.leader()
    assert leader is not None
    return leader


def test_a_switchover_moves_the_primary_to_whom_it_is_asked_to(lab: Lab) -> None:
    before = leader_of(lab)
    candidate = others(lab, before)[0]
    assert lab.switchover(candidate) == candidate
    name, _ = lab.wait_writable_direct()
    assert name == candidate
    assert lab.wait_healthy() == candidate
    assert not lab.member(before).is_writable()


def test_a_killed_postmaster_comes_back_where_it_was(lab: Lab) -> None:
    leader = leader_of(lab)
    postmaster = lab.member(leader).postmaster
    lab.kill_postmaster(leader)
    assert lab.member(leader).patroni is not None
    lab.wait_writable_direct()
    assert lab.member(leader).postmaster != postmaster


def test_a_lost_node_is_replaced_and_can_come_back(lab: Lab) -> None:
    lost = leader_of(lab)
    lab.kill_node(lost)
    assert lab.member(lost).condition is Condition.DOWN
    assert lab.member(lost).everything() == []
    successor, _ = lab.wait_writable_direct(*others(lab, lost))
    lab.start_node(lost)
    assert lab.wait_healthy() == successor


def test_a_frozen_node_accepts_and_says_nothing_until_it_thaws(lab: Lab) -> None:
    replica = others(lab, leader_of(lab))[0]
    lab.freeze_node(replica)
    assert lab.member(replica).condition is Condition.FROZEN
    with pytest.raises(psycopg.OperationalError, match="timeout"):
        psycopg.connect(lab.member(replica).conninfo(), connect_timeout=2)
    assert lab.member(replica).ask("/health", timeout_s=0.3).status == 0
    lab.thaw_node(replica)
    lab.wait_healthy()


def test_postgresql_serves_on_without_patroni(lab: Lab) -> None:
    leader = leader_of(lab)
    lab.freeze_patroni(leader)
    assert lab.member(leader).is_writable()
    lab.thaw_patroni(leader)
    lab.kill_patroni(leader)
    assert lab.member(leader).condition is Condition.WITHOUT_PATRONI
    assert lab.member(leader).is_writable()


@pytest.mark.parametrize(
    "damage", [Lab.kill_node, Lab.freeze_node, Lab.kill_patroni, Lab.stop_node], ids=lambda d: d.__name__
)
def test_whatever_was_done_heals(lab: Lab, damage: Callable[[Lab, str], None]) -> None:
    for name in others(lab, leader_of(lab)):
        damage(lab, name)
    lab.heal()
    assert lab.health().is_healthy


def test_a_changed_dynamic_configuration_heals(lab: Lab) -> None:
    leader = leader_of(lab)
    assert lab.ask_as_admin(leader, "PATCH", "/config", {"pause": True, "ttl": 40}).status == 200
    lab.heal()
    config = lab.member(leader_of(lab)).ask("/config").body
    assert config["ttl"] == 20
    assert "pause" not in config


def test_an_impossible_switchover_is_told_in_patroni_s_words(lab: Lab) -> None:
    with pytest.raises(LabError, match="Patroni refused the switchover"):
        lab.switchover(leader_of(lab))


def test_nobody_gets_in_without_a_password(lab: Lab) -> None:
    member = next(iter(lab.members.values()))
    with pytest.raises(psycopg.OperationalError, match=r"no password supplied|password authentication failed"):
        psycopg.connect(
            host=member.place.host, port=member.place.port, user="postgres", dbname="postgres", passfile="/dev/null"
        )


def test_patronictl_works_from_anywhere(lab: Lab) -> None:
    listing = subprocess.run([*lab.patronictl, "list"], cwd="/", capture_output=True, text=True, timeout=30, check=True)
    assert all(name in listing.stdout for name in lab.members)


def test_another_process_can_attach(lab: Lab) -> None:
    attached = Lab.attach(lab.root)
    assert attached.leader() == lab.leader()
    assert attached.members["pg1"].patroni == lab.members["pg1"].patroni
