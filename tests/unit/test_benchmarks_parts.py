"""`make bench`: how often role changes are played, and what is said of that before."""

import subprocess
import sys

from benchmarks.__main__ import PARTS, ROUNDS, minutes_of_all, rounds_of_all


def test_plainly_each_fault_of_a_reroute_is_played_ten_times() -> None:
    assert rounds_of_all(None)["reroute"] == 10
    assert rounds_of_all(None) == ROUNDS
    assert ROUNDS.keys() <= PARTS.keys()


def test_who_says_how_often_means_every_role_change() -> None:
    assert set(rounds_of_all(3).values()) == {3}


def test_it_takes_as_long_as_the_documentation_says() -> None:
    assert 65 <= minutes_of_all(rounds_of_all(None)) <= 75
    assert 25 <= minutes_of_all(rounds_of_all(2)) <= 35


def test_rounds_of_one_part_stand_behind_it() -> None:
    command = [sys.executable, "-m", "benchmarks", "--rounds", "2", "rest"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 2
    assert "rest --rounds 2" in ran.stderr
