"""Answers of etcd's gateway: read as they are meant, or refused in one sentence."""

import json
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import StoreError
from trunkline.wire.etcd import (
    Entry,
    Reading,
    WatchNews,
    parse_lease_left,
    parse_news,
    parse_reading,
    parse_refusal,
    parse_token,
)


def b64(text: str) -> str:
    return b64encode(text.encode()).decode()


def entry(value: str = "pg1", **more: object) -> dict[str, object]:
    return {"key": b64("/service/demo/leader"), "value": b64(value), "mod_revision": "7", "lease": "4711", **more}


def body(told: object) -> bytes:
    return json.dumps(told).encode()


def test_a_key_that_is_there_and_one_that_is_not() -> None:
    assert parse_reading(body({"header": {"revision": "9"}, "kvs": [entry()], "count": "1"})) == Reading(
        entry=Entry(value="pg1", lease=4711), revision=9
    )
    assert parse_reading(body({"header": {"revision": "9"}})) == Reading(entry=None, revision=9)


def test_what_becomes_of_a_key() -> None:
    gone = {"type": "DELETE", "kv": {"key": b64("/service/demo/leader"), "mod_revision": "8"}}
    told = body({"result": {"header": {}, "events": [{"kv": entry("pg2")}, gone]}})
    assert parse_news(told) == WatchNews(changes=((7, Entry(value="pg2", lease=4711)), (8, None)))
    assert parse_news(body({"result": {"created": True}})) == WatchNews()


def test_a_watch_that_is_ended_says_why() -> None:
    assert parse_news(body({"result": {"canceled": True, "cancel_reason": "permission denied"}})) == WatchNews(
        canceled="permission denied"
    )
    assert parse_news(body({"error": {"message": "etcdserver: no leader"}})).canceled == "etcdserver: no leader"
    assert (
        parse_refusal(body({"error": "etcdserver: user name is empty", "code": 3})) == "etcdserver: user name is empty"
    )
    assert parse_refusal(b"404 page not found") == ""


def test_what_a_lease_has_left() -> None:
    assert parse_lease_left(body({"ID": "1", "TTL": "17", "grantedTTL": "20"})) == 17
    assert parse_lease_left(body({"ID": "1", "TTL": "-1"})) == -1
    assert parse_token(body({"token": "abc.1"})) == "abc.1"


@given(
    st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "kvs",
                            "header",
                            "revision",
                            "result",
                            "events",
                            "kv",
                            "value",
                            "lease",
                            "type",
                            "TTL",
                            "token",
                        ]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=12,
        ).map(body),
    )
)
def test_anything_else_is_refused_in_one_sentence(told: bytes) -> None:
    for parse in (parse_reading, parse_news, parse_lease_left, parse_token):
        try:
            parse(told)
        except StoreError as error:
            problem = error.message
        else:
            continue
        assert "\n" not in problem


@pytest.mark.parametrize("told", [b"", b"[]", b'{"kvs": [{"value": "%%%"}]}', b'{"kvs": [{"lease": true}]}'])
def test_an_answer_that_is_none(told: bytes) -> None:
    with pytest.raises(StoreError, match="no answer that can be understood"):
        parse_reading(told)
