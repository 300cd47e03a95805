"""Whatever a file, a variable or a node's patroni.yml holds: settings or a SettingsError, nothing else."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunkline.config.addresses import Bind, parse_api_url, parse_bind
from trunkline.config.describe import all_settings
from trunkline.config.discovery import Places
from trunkline.config.environment import variable
from trunkline.config.faults import Faulty
from trunkline.config.load import LoadedSettings, load_settings
from trunkline.config.settings import ClusterSettings, Settings
from trunkline.config.show import settings_text
from trunkline.config.values import WrongValueError, parse_size
from trunkline.errors import SettingsError

SECRET = "geheim-geheim"
NAMES = sorted({str(setting.key[-1]) for setting in all_settings()} | {"clusters", "patronni", "x"})
VARIABLES = sorted(variable(setting.key) for setting in all_settings())

odd_text = st.text(max_size=12) | st.sampled_from(
    [
        "",
        "*:5000",
        "[::1]:5000",
        "http://10.0.0.11:8008",
        "16MB",
        "null",
        "{}",
        "a=b",
        "off",
        "auto",
        "\0",
        "\ud800",
        "a\nb",
    ]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | odd_text | st.dates() | st.binary(max_size=4)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | odd_text, inner, max_size=5),
    max_leaves=20,
)
files = st.dictionaries(st.sampled_from(NAMES), values, max_size=8)


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


def load(directory: Path, content: bytes | None = None, environ: dict[str, str] | None = None) -> LoadedSettings | None:
    """Settings, or None where a SettingsError said what is wrong, in text that a terminal can show."""
    file = directory / "t.yml"
    file.write_bytes(content or b"")
    places = Places(settings=file, patroni=(directory / "config.yml",), patroni_directory=directory / "none")
    try:
        return load_settings(None, environ=environ or {}, places=places)
    except SettingsError as raised:
        error = raised
    assert error.message.replace("\n", "").isprintable()
    assert SECRET not in error.message + error.hint
    return None


relaxed = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


@relaxed
@given(content=st.binary(max_size=300))
def test_any_bytes(directory: Path, content: bytes) -> None:
    load(directory, content)


@relaxed
@given(content=st.text(alphabet="abc:-[]{}&*!|>'\"%@`#,?<\t\n 01.~", max_size=80))
def test_any_text_that_looks_like_yaml(directory: Path, content: str) -> None:
    load(directory, b"patroni: [a]\n" + content.encode())


@relaxed
@given(tree=files)
def test_any_tree_of_known_names(directory: Path, tree: dict[str, object]) -> None:
    load(directory, yaml.safe_dump(tree).encode("utf-8", "surrogatepass"))


@relaxed
@given(
    environ=st.dictionaries(st.sampled_from(VARIABLES) | st.text("TRUNKLINE_S01", max_size=20), odd_text, max_size=6)
)
def test_any_environment(directory: Path, environ: dict[str, str]) -> None:
    load(directory, b"patroni: [a]\n", environ)


@relaxed
@given(tree=st.fixed_dictionaries({"scope": values, "restapi": values | files, "ctl": values | files}))
def test_any_configuration_of_patroni(directory: Path, tree: dict[str, object]) -> None:
    patroni = directory / "config.yml"
    patroni.write_bytes(yaml.safe_dump(tree).encode("utf-8", "surrogatepass"))
    try:
        load(directory)
    finally:
        patroni.unlink()


@relaxed
@given(
    before=st.text(alphabet="abc: -[]{}'\"%@`,\t\n", max_size=30),
    quote=st.sampled_from(["", "'", '"', "*", "&", "!", "@", "%", "|", "> ", "[", "{"]),
    after=st.text(alphabet="abc: -[]{}'\"%@`,\t\n", max_size=30),
)
def test_no_fault_shows_a_password(directory: Path, before: str, quote: str, after: str) -> None:
    text = f"patroni: [a]\nstats:\n  password: {quote}{SECRET}{quote}{after}\n{before}"
    load(directory, text.encode())


@relaxed
@given(tree=files)
def test_what_is_loaded_can_be_shown_and_read_back(directory: Path, tree: dict[str, object]) -> None:
    tree = {name: value for name, value in tree.items() if name not in ("clusters", "stats", "api")}
    loaded = load(directory, yaml.safe_dump(tree | {"patroni": ["a"]}).encode("utf-8", "surrogatepass"))
    if loaded is not None:
        again = load(directory, settings_text(loaded).encode())
        assert again is not None
        assert again.settings == loaded.settings


bounded = {
    "checks": st.fixed_dictionaries({"interval_ms": st.integers(100, 60_000), "fall": st.integers(2, 20)}),
    "hold": st.fixed_dictionaries({"timeout_s": st.none() | st.floats(1.0, 3600)}),
    "timeouts": st.fixed_dictionaries({"connect_s": st.floats(0.1, 60)}),
    "scope": st.text("abc-_ 019é~#:", min_size=1, max_size=9).map(str.strip).filter(bool),
    "standby_leader": st.booleans(),
    "server_maxconn": st.sampled_from(["auto", "off"]) | st.integers(1, 1000),
    "services": st.fixed_dictionaries(
        {"replicas": st.none() | st.fixed_dictionaries({"bind": st.integers(5002, 6000), "tags": st.just({"a": True})})}
    ),
}


@relaxed
@given(tree=st.fixed_dictionaries({}, optional=bounded))
def test_right_settings_load_and_round_trip(directory: Path, tree: dict[str, object]) -> None:
    loaded = load(directory, yaml.safe_dump(tree | {"patroni": ["a"]}, allow_unicode=True).encode())
    assert loaded is not None
    again = load(directory, settings_text(loaded).encode())
    assert again is not None
    assert again.settings == loaded.settings
    expected = Settings(
        clusters=(ClusterSettings(patroni=("a",), **{k: v for k, v in tree.items() if k != "timeouts"}),)
    )
    assert loaded.settings.clusters == expected.clusters


@given(text=st.text(max_size=30) | odd_text)
def test_addresses_and_sizes_are_refused_or_stable(text: str) -> None:
    for parse in (parse_bind, parse_api_url, parse_size):
        try:
            parsed: Bind | str | int = parse(text)
        except WrongValueError:
            continue
        assert str(parsed).isprintable()
        assert not any(blank in str(parsed) for blank in " \t\n\"'#\\")
        assert parse(str(parsed)) == parsed


def test_faulty_never_leaves_the_room(directory: Path) -> None:
    assert not issubclass(Faulty, SettingsError)
    assert load(directory, b"\xff") is None
