"""Whatever members, clusters and passwords are called: the same bytes each time, no line that is not ours, every server
at rest DOWN. Real HAProxies judge a sample, many names at once."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from haproxy_verdict import judged, told
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from trunkline.config.settings import Settings
from trunkline.lab.binaries import Binary, find_haproxies
from trunkline.model.cluster import ClusterView, Member
from trunkline.model.desired import Balancer, HostFacts
from trunkline.plan.balancer import desired_balancer
from trunkline.plan.paths import run_paths, service_paths
from trunkline.render.haproxy import configuration_text, haproxy_files, quoted
from trunkline.render.state import COLUMNS, resting_state
from trunkline.wire.names import MAX_NAME_BYTES, to_haproxy

HOST = HostFacts(file_limit=4096, haproxy_version=(2, 8))
NASTY = [*"\n\r\t \\#'\"$%{}/;:,|ü", "\x00", "\x7f", "\u2028", "\ud800", "😀", "$HOME", "%[x]", "server x 1:1", "hold"]
LONGEST_STATE_LINE = 2_000
ABSTRACT = re.compile(r"(abns@trunkline-\w+)-[0-9a-f]{12}\b")
"""Sockets whose names hold a digest of the admin socket's path."""

SAY = """for n = 1, COUNT do
    local bytes = os.getenv("TEXT_" .. n):gsub(".", function(c) return c:byte() .. " " end)
    print("SAID " .. bytes)
end
"""

each_haproxy = pytest.mark.parametrize("haproxy", find_haproxies(), ids=lambda it: ".".join(map(str, it.version[:2])))
nasty = st.lists(st.sampled_from(NASTY) | st.characters(exclude_categories=()), max_size=12).map("".join)
visible = st.sampled_from([*filter(str.isprintable, NASTY)]) | st.characters(categories=["L", "N", "P", "S"])
printable = st.lists(visible, min_size=1, max_size=12).map("".join)
names = nasty.filter(lambda name: 0 < len(name.encode("utf-8", "surrogatepass")) <= MAX_NAME_BYTES)
members = st.lists(names, min_size=1, max_size=5, unique=True)


def cluster(scope: str, names: list[str], *, subnet: int = 0) -> ClusterView:
    return ClusterView(
        scope=scope,
        members=tuple(
            Member(name=name, host=f"10.0.{subnet}.{n}", port=5432, api_url=f"http://10.0.{subnet}.{n}:8008/patroni")
            for n, name in enumerate(names, start=11)
        ),
    )


def of_one(view: ClusterView, **written: object) -> Balancer:
    chosen = Settings.model_validate({"clusters": [{"patroni": ["10.0.0.11"]}], **written})
    return desired_balancer(chosen, (view,), HOST, service_paths(chosen))


@given(names, members, st.randoms(use_true_random=False))
def test_the_order_of_members_is_nothing(scope: str, odd: list[str], random: object) -> None:
    view = cluster(scope, odd)
    shuffled = list(view.members)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert haproxy_files(of_one(view)) == haproxy_files(of_one(replace(view, members=tuple(shuffled))))


@given(names, members)
@example("\n    server x 1.2.3.4:1", ["\nbackend x", "a\\", "#", "' \" $HOME"])
def test_names_stay_where_they_belong(scope: str, odd: list[str]) -> None:
    plain = {f"plain{n}": to_haproxy(name) for n, name in enumerate(sorted(odd))}
    expected = words(configuration_text(of_one(cluster("plain", list(plain)))))
    found = words(configuration_text(of_one(cluster(scope, sorted(odd)))))
    assert found == [[plain.get(word, word) for word in line] for line in expected]


TEXTS = ("stats.password", "stats.user", "haproxy.user", "haproxy.group", "haproxy.socket_group", "haproxy.log")
PLAIN = {
    "stats.password": "plain",
    "stats.user": "plain",
    "haproxy.user": "plain",
    "haproxy.group": "plain",
    "haproxy.socket_group": "plain",
    "haproxy.chroot": "/plain",
    "haproxy.log": "/plain",
    "haproxy.socket": "/plain",
    "haproxy.state_file": "/plain",
    "haproxy.lua_file": "/plain",
}


@pytest.mark.parametrize("setting", PLAIN)
@given(text=printable | nasty)
@example(text="//")
def test_settings_are_refused_or_stay_where_they_belong(setting: str, text: str) -> None:
    plain = PLAIN[setting]
    text = f"/{text}" if plain.startswith("/") else text
    config = with_setting(setting, text)
    if config is not None:
        used = text if setting in TEXTS else str(Path(text))
        expected = words(with_setting(setting, plain) or "")
        assert words(config) == [[used if word == plain else word for word in line] for line in expected]


def with_setting(setting: str, text: str) -> str | None:
    """The configuration; None where the value is refused."""
    section, name = setting.split(".")
    written: dict[str, dict[str, str]] = {"stats": {"user": "somebody", "password": "something"}, "haproxy": {}}
    written[section][name] = text
    try:
        text = configuration_text(of_one(cluster("demo", ["pg1"]), **written))
    except ValidationError:
        return None
    return ABSTRACT.sub(r"\1", text)


@given(st.lists(st.tuples(names, members), min_size=1, max_size=4, unique_by=lambda pair: pair[0]))
def test_every_server_of_every_service_rests_down(clusters: list[tuple[str, list[str]]]) -> None:
    balancer = of_several(clusters, service_paths(Settings()).config)
    version, header, *lines = resting_state(balancer).splitlines()
    assert (version, header) == ("1", f"# {COLUMNS}")
    rows = [dict(zip(COLUMNS.split(), line.split(" "), strict=True)) for line in lines]
    servers = [(service.proxy, server) for service in balancer.services for server in service.servers]
    assert [(row["be_name"], row["srv_name"]) for row in rows] == [(proxy, server.name) for proxy, server in servers]
    assert {(row["srv_op_state"], row["srv_admin_state"], row["srv_check_health"]) for row in rows} == {("0", "0", "0")}
    assert [row["srv_port"] for row in rows] == [str(server.postgres.port) for _, server in servers]
    assert all(len(line.encode()) < LONGEST_STATE_LINE for line in lines)


@pytest.mark.haproxy
@each_haproxy
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    clusters=st.lists(st.tuples(names, members), min_size=5, max_size=12, unique_by=lambda pair: pair[0]),
    password=printable,
)
@example(clusters=[("x" * 255, ["\u00fc" * 127]), ("\\", ["#", "\\", "a\\", "\n", "'", '"'])], password="'\"\\#$")
def test_haproxy_reads_any_names(haproxy: Binary, clusters: list[tuple[str, list[str]]], password: str) -> None:
    with TemporaryDirectory(prefix="render-") as name:
        balancer = of_several(clusters, f"{name}/haproxy.cfg", stats={"user": "me", "password": password})
        for file in haproxy_files(balancer):
            Path(file.path).write_text(file.text)
        verdict = judged(haproxy, Path(name) / "haproxy.cfg")
    assert verdict.complaints == ()
    assert verdict.down == {
        f"{service.proxy}/{server.name}" for service in balancer.services for server in service.servers
    }


@pytest.mark.haproxy
@each_haproxy
def test_haproxy_reads_any_path_that_settings_take(haproxy: Binary) -> None:
    name = "".join(filter(is_taken, [*map(chr, range(0x21, 0x7F)), "ü", "😀"])).replace("/", "")
    assert {*"\"'\\,#$"}.isdisjoint(name)
    with TemporaryDirectory(prefix="paths-") as above:
        directory = Path(above) / name[:30] / name[30:60] / name[60:]
        directory.mkdir(parents=True)
        chosen = Settings.model_validate({"clusters": [{"patroni": ["10.0.0.11"]}], "haproxy": {"chroot": directory}})
        paths = replace(run_paths(directory, chosen), admin_socket=f"/{name}")
        for file in haproxy_files(desired_balancer(chosen, (cluster("demo", ["pg1"]),), HOST, paths)):
            Path(file.path).write_text(file.text)
        verdict = judged(haproxy, directory / "haproxy.cfg")
    assert verdict.complaints == ()
    assert verdict.down == {"postgres_primary/pg1", "postgres_replicas/pg1"}


def is_taken(char: str) -> bool:
    try:
        Settings(directory=Path(f"/a{char}b"))
    except ValidationError:
        return False
    return True


@pytest.mark.haproxy
@each_haproxy
@settings(max_examples=5, deadline=None)
@given(texts=st.lists(printable, min_size=10, max_size=40))
@example(texts=[*"\\#'\"$ ", "'\\''", "\\'", "it's \\", "$HOME ${HOME} \\x41", "no primary is available", "ü😀"])
def test_what_is_quoted_is_what_haproxy_understands(haproxy: Binary, texts: list[str]) -> None:
    """A script says what HAProxy has put into its environment."""
    with TemporaryDirectory(prefix="quoted-") as name:
        script, config = Path(name) / "say.lua", Path(name) / "haproxy.cfg"
        script.write_text(SAY.replace("COUNT", str(len(texts))))
        lines = [f"    setenv TEXT_{n} {quoted(text)}\n" for n, text in enumerate(texts, start=1)]
        config.write_text("global\n" + "".join(lines) + f"    lua-load {script}\n")
        answer = told(haproxy, config)
    said = [bytes(map(int, line.split()[1:])).decode() for line in answer.splitlines() if line.startswith("SAID")]
    assert said == texts


def of_several(clusters: list[tuple[str, list[str]]], config: str, **written: object) -> Balancer:
    """All of them behind one HAProxy, each with ports of its own."""
    chosen = Settings.model_validate(
        {
            "clusters": [
                {
                    "patroni": ["10.0.0.11"],
                    "services": {"primary": {"bind": 20_000 + 2 * n}, "replicas": {"bind": 20_001 + 2 * n}},
                }
                for n, _ in enumerate(clusters)
            ],
            **written,
        }
    )
    views = tuple(cluster(scope, odd, subnet=n) for n, (scope, odd) in enumerate(clusters))
    return desired_balancer(chosen, views, HOST, run_paths(Path(config).parent, chosen))


def words(config: str) -> list[list[str]]:
    """What a configuration says, line by line, as HAProxy takes it apart (manual, 2.2 "Quoting and escaping")."""
    return [found for line in config.split("\n") if (found := list(_words_of(line)))]


def _words_of(line: str) -> Iterator[str]:
    word, quote, is_word = "", "", False
    chars = iter(line)
    for char in chars:
        if char == quote:
            quote = ""
        elif quote == "'":
            word += char
        elif char == "\\":
            word, is_word = word + next(chars, ""), True
        elif quote:
            word += char
        elif char in "'\"":
            quote, is_word = char, True
        elif char == "#":
            break
        elif char in " \t":
            if is_word:
                yield word
            word, is_word = "", False
        else:
            word, is_word = word + char, True
    assert not quote, line
    if is_word:
        yield word
