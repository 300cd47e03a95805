"""Lag in seconds: from locations and the time of what was replayed last, never from one of them alone."""

from dataclasses import replace

from trunkline.agent.lag import Lags
from trunkline.model.cluster import MemberAnswer, Role

EPOCH_S = 1_800_000_000.0
REPLICA = MemberAnswer(
    scope="demo",
    name="pg2",
    role=Role.REPLICA,
    state="running",
    patroni_version="4.1.5",
    status_code=503,
    replay_location=1000,
    replayed_at=EPOCH_S - 3600,
)
PRIMARY = replace(REPLICA, name="pg1", status_code=200, writes_location=1000, replay_location=None, replayed_at=None)


def test_nobody_can_tell_before_the_primary_was_asked() -> None:
    assert Lags().lag_s("pg2", REPLICA, 0.0, EPOCH_S) is None


def test_an_idle_cluster_has_no_lag_however_old_its_last_transaction_is() -> None:
    lags = Lags()
    assert lags.lag_s("pg1", PRIMARY, 0.0, EPOCH_S) is None
    assert lags.lag_s("pg2", REPLICA, 0.1, EPOCH_S) == 0.0


def test_it_counts_from_when_it_was_first_behind() -> None:
    """The first write after an idle hour is no lag of an hour."""
    lags = Lags()
    lags.lag_s("pg1", replace(PRIMARY, writes_location=2000), 0.0, EPOCH_S)
    assert lags.lag_s("pg2", REPLICA, 10.0, EPOCH_S) == 0.0
    assert lags.lag_s("pg2", REPLICA, 13.0, EPOCH_S + 3) == 3.0
    assert lags.lag_s("pg2", replace(REPLICA, replay_location=2000), 14.0, EPOCH_S + 4) == 0.0
    lags.lag_s("pg1", replace(PRIMARY, writes_location=3000), 15.0, EPOCH_S + 5)
    assert lags.lag_s("pg2", replace(REPLICA, replay_location=2000), 16.0, EPOCH_S + 6) == 0.0


def test_it_is_never_more_than_the_age_of_what_was_replayed() -> None:
    """Always a little behind is not ever further behind."""
    lags = Lags()
    for second in range(60):
        lags.lag_s("pg1", replace(PRIMARY, writes_location=2000 + second), float(second), EPOCH_S + second)
        late = replace(REPLICA, replay_location=1990 + second, replayed_at=EPOCH_S + second - 1.5)
        found = lags.lag_s("pg2", late, float(second), EPOCH_S + second)
    assert found == 1.5


def test_a_patroni_that_does_not_tell_leaves_it_open() -> None:
    lags = Lags()
    lags.lag_s("pg1", replace(PRIMARY, writes_location=2000), 0.0, EPOCH_S)
    assert lags.lag_s("pg2", replace(REPLICA, replayed_at=None), 60.0, EPOCH_S) is None


def test_after_a_failover_the_new_primary_counts() -> None:
    """It may have written less than the old one."""
    lags = Lags()
    lags.lag_s("pg1", replace(PRIMARY, writes_location=9000), 0.0, EPOCH_S)
    lags.lag_s("pg3", replace(PRIMARY, name="pg3", writes_location=1000), 1.0, EPOCH_S)
    assert lags.lag_s("pg2", REPLICA, 2.0, EPOCH_S) == 0.0
