"""What `trunkline status` tells, scene by scene: explain/*.txt has the facts above the line and what is told below it.

`pytest --rewrite tests/scenario/test_explain.py` writes the lower halves anew.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from trunkline.cli.status_picture import draw
from trunkline.config.settings import Settings
from trunkline.model.cluster import ClusterView, MemberAnswer
from trunkline.model.intent import Asked, Drain
from trunkline.model.proxy import Health, ProcessInfo, ProxyState, ProxyView, ServerState
from trunkline.model.status import Status
from trunkline.plan.explain import ClusterFacts, Facts, explain, wanted_services
from trunkline.testing.fake_cluster import FakeCluster
from trunkline.wire.patroni import parse_cluster, parse_config, parse_member_answer

SCENES = sorted((Path(__file__).parent / "explain").glob("*.txt"))
LINE = "-" * 100 + "\n"
Raw = Mapping[str, Any]


@pytest.mark.parametrize("scene", SCENES, ids=lambda path: path.stem)
def test_scene(scene: Path, request: pytest.FixtureRequest) -> None:
    told, _, expected = scene.read_text().partition(LINE)
    found = as_text(tell(yaml.safe_load(told)))
    if request.config.getoption("--rewrite"):
        scene.write_text(told + LINE + found)
    else:
        assert found == expected


def test_there_are_scenes() -> None:
    assert len(SCENES) > 10


def tell(raw: Raw) -> Status:
    """The status in a scene."""
    several = raw.get("clusters", [raw])
    settings = Settings.model_validate({"clusters": [it.get("settings", {}) for it in several]})
    views = tuple(view_of(it) for it in several)
    services = wanted_services(settings, views)
    clusters = tuple(
        ClusterFacts(
            view=view,
            problem=it.get("problem", ""),
            answers=answers_of(it, [s.path for s in its]),
            asked_at=time.time(),
        )
        for it, view, its in zip(several, views, services, strict=True)
    )
    haproxy = raw["haproxy"]
    problem = haproxy if isinstance(haproxy, str) else ""
    proxy = None if problem else proxies_of(haproxy)
    return explain(
        settings,
        Facts(
            clusters=clusters,
            socket="/run/haproxy/admin.sock",
            proxy=proxy,
            proxy_problem=problem,
            asked=tuple(asked_of(it) for it in raw.get("drains", ())),
            asked_problem=raw.get("drains_problem", ""),
        ),
    )


def asked_of(raw: Raw) -> Asked:
    """`until_h`: so long after it was asked for; `left_s`: until it is over."""
    since = datetime(2026, 11, 27, 12, 30, tzinfo=timezone(timedelta(hours=1)))
    until = since + timedelta(hours=raw["until_h"]) if "until_h" in raw else None
    scope, member = raw.get("scope", "demo"), raw["member"]
    drain = Drain(scope=scope, member=member, who="ana", since=since, until=until, why=raw.get("why", ""))
    return Asked(drain=drain, remaining_s=raw.get("left_s", 60.0) if until else None)


def story_of(raw: Raw) -> FakeCluster:
    members: Raw = raw["members"]
    cluster = FakeCluster(
        tuple(members),
        leader=raw.get("leader"),
        scope=raw.get("scope", "demo"),
        config=raw.get("config", {"ttl": 30, "loop_wait": 10}),
    )
    cluster.is_standby_cluster = raw.get("is_standby_cluster", False)
    for number, (name, about) in enumerate(members.items(), start=11):
        story, api = cluster.stories[name], cluster.apis[name]
        story.host = api.host = f"10.0.0.{number}"
        story.port, api.port = 5432, 8008
        for key, value in about.items():
            if key not in ("silent", "unlisted"):
                assert hasattr(story, key)
                setattr(story, key, value)
    return cluster


def view_of(raw: Raw) -> ClusterView | None:
    if "problem" in raw:
        return None
    cluster = story_of(raw)
    name = next(iter(cluster.stories))
    view = parse_cluster(cluster.answer(name, "/cluster", {}).body)
    config = parse_config(cluster.answer(name, "/config", {}).body)
    return ClusterView(scope=view.scope, members=view.members, config=config, is_paused=raw.get("is_paused", False))


def answers_of(raw: Raw, paths: list[str]) -> dict[tuple[str, str], MemberAnswer | str]:
    if "problem" in raw:
        return {}
    cluster = story_of(raw)
    return {(name, path): answer_of(cluster, name, path, raw) for name in cluster.stories for path in paths}


def answer_of(cluster: FakeCluster, name: str, path: str, raw: Raw) -> MemberAnswer | str:
    if "silent" in raw["members"][name]:
        return str(raw["members"][name]["silent"])
    parts = urlsplit(path)
    answer = cluster.answer(name, parts.path, dict(parse_qsl(parts.query)))
    return parse_member_answer(answer.status, answer.body)


def proxies_of(raw: Raw) -> ProxyView:
    return ProxyView(
        info=ProcessInfo(version="2.8.25", pid=4711, uptime_s=7500, maxconn=1000),
        proxies=tuple(
            ProxyState(
                name=name,
                frontend_status=about.get("frontend", "OPEN"),
                backend_status="UP",
                frontend_sessions=about.get("sessions", 0),
                sessions=about.get("sessions", 0),
                queued=about.get("queued", 0),
                servers=(
                    *(server_of(name, server, its) for server, its in sorted(about["servers"].items())),
                    server_of(name, "hold", {"health": "no check", "is_backup": True}),
                ),
            )
            for name, about in sorted(raw.items())
        ),
        held=tuple((name, about["held"]) for name, about in sorted(raw.items()) if "held" in about),
        closed_by_agent=frozenset((name, it) for name, about in raw.items() for it in about.get("closed_by_agent", ())),
        unchecked_by_agent=frozenset(
            (name, it) for name, about in raw.items() for it in about.get("unchecked_by_agent", ())
        ),
        refusing=frozenset(name for name, about in raw.items() if about.get("refuses")),
    )


def server_of(proxy: str, name: str, about: Raw | str) -> ServerState:
    """`UP`, `DOWN L7STS 503` or a mapping."""
    if isinstance(about, str):
        words = about.split()
        return server_of(proxy, name, {"health": words[0], "check": " ".join(words[1:]) or "L7OK 200"})
    check, _, code = about.get("check", "").partition(" ")
    return ServerState(
        proxy=proxy,
        name=name,
        address="10.0.0.99:5432",
        health=Health(about["health"]),
        sessions=about.get("sessions", 0),
        queued=about.get("queued", 0),
        check_status=check,
        check_code=int(code) if code else None,
        check_description=about.get("description", ""),
        last_change_s=about.get("since", 7500),
        is_backup=about.get("is_backup", False),
    )


def as_text(status: Status) -> str:
    console = Console(file=StringIO(), width=100, color_system=None, highlight=False)
    console.print(draw(status))
    assert isinstance(console.file, StringIO)
    text = "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())
    return f"{text}exit code {0 if status.is_primary_reachable else 1}\n"


healths = st.sampled_from(list(Health)).map(lambda health: {"health": health.value})
checks = st.sampled_from(["", "INI", "L7OK 200", "L7OKC 503", "L7STS 503", "L7RSP", "L7TOUT", "L4CON", "L6RSP", "NEW"])
servers = st.builds(lambda health, check: {**health, "check": check}, healths, checks)
stories = st.fixed_dictionaries(
    {},
    optional={
        "is_alive": st.booleans(),
        "is_promoted": st.booleans(),
        "is_sync": st.booleans(),
        "lag_bytes": st.sampled_from([0, 10**8]),
        "tags": st.just({"noloadbalance": True}),
        "silent": st.just("no answer"),
    },
)
MEMBERS = ("a", "b", "hold")
scenes = st.fixed_dictionaries(
    {
        "leader": st.sampled_from([*MEMBERS, None]),
        "is_standby_cluster": st.booleans(),
        "members": st.dictionaries(st.sampled_from(MEMBERS), stories, min_size=1),
        "settings": st.sampled_from([{}, {"standby_leader": True}, {"services": {"sync_replicas": {}}}]),
        "haproxy": st.just("no answer")
        | st.dictionaries(
            st.sampled_from(["postgres_primary", "postgres_replicas", "postgres_sync_replicas", "other"]),
            st.fixed_dictionaries(
                {
                    "frontend": st.sampled_from(["OPEN", "STOP", ""]),
                    "servers": st.dictionaries(st.sampled_from(["a", "b", ":hold", "left"]), servers),
                }
            ),
        ),
    },
    optional={
        "problem": st.just("no answer"),
        "drains": st.lists(
            st.fixed_dictionaries(
                {"member": st.sampled_from([*MEMBERS, "gone"])},
                optional={"until_h": st.just(2), "left_s": st.sampled_from([0.0, 60.0]), "why": st.just("kernel")},
            )
        ),
    },
)


@given(scenes)
def test_laws_of_every_scene(raw: Raw) -> None:
    status = tell(raw)
    assert as_text(status)
    assert json.loads(json.dumps(asdict(status)))["clusters"]
    places = [place for cluster in status.clusters for member in cluster.members for place in member.services]
    for place in places:
        assert place.agrees or place.is_notable
        if place.health is not None and place.qualifies is not None and place.qualifies != place.takes_sessions:
            assert not place.agrees or place.health in (Health.MAINT, Health.DRAIN)
    if status.is_primary_reachable:
        proxy = raw["haproxy"]["postgres_primary"]
        leading = [place for place in places if place.service == "postgres_primary" and place.takes_sessions]
        assert proxy["frontend"] == "OPEN"
        assert len(leading) == 1
        assert leading[0].qualifies is not False
