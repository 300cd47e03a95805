"""What can be printed of the settings: the values in force, the schema, the manual."""

import json
import re
from pathlib import Path

import pytest
import yaml
from config_host import Host
from typer.testing import CliRunner

from trunkline.cli.commands import app
from trunkline.config.describe import all_settings
from trunkline.config.faults import written_path
from trunkline.config.manual import manual
from trunkline.config.schema import settings_schema
from trunkline.config.settings import ClusterSettings, Settings
from trunkline.config.show import MASK, settings_text

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yml"))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def example_host(host: Host) -> Host:
    """A host on which the files exist that the examples name."""
    tls = host.file.parent / "tls"
    tls.mkdir()
    for name in ("ca.pem", "client.pem", "client.key"):
        (tls / name).touch()
    return host


def test_there_are_examples() -> None:
    assert "one-line.yml" in {file.name for file in EXAMPLES}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_examples_are_right(example_host: Host, file: Path) -> None:
    assert example_host.load(file.read_text()).settings.clusters


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_what_is_shown_can_be_read_back(example_host: Host, file: Path) -> None:
    shown = settings_text(example_host.load(file.read_text()))
    settings = example_host.load(shown.replace(MASK, "change-me")).settings
    assert settings == example_host.load(file.read_text()).settings


def test_every_value_is_shown_with_its_source(host: Host) -> None:
    loaded = host.load("patroni: [a]\nstats: {user: ops, password: geheim}\n", environ={"TRUNKLINE_SCOPE": "x"})
    lines = [line.split("#") for line in settings_text(loaded).splitlines() if "#" in line]
    sources = {value.strip(): source.strip().rpartition("/")[2] for value, source in lines}
    assert sources["scope: x"] == "TRUNKLINE_SCOPE"
    assert sources["patroni: ['http://a:8008']"] == "trunkline.yml:1"
    assert sources[f"password: '{MASK}'"] == "trunkline.yml:2"
    assert sources["refresh_s: 5"] == "default"
    assert "geheim" not in settings_text(loaded)
    off = [("services", "sync_replicas"), ("services", "async_replicas"), ("dcs", "etcd")]
    values = [setting for setting in all_settings() if setting.section is None and setting.key[:2] not in off]
    assert len(lines) == len(values) + len(off)


def test_the_schema_takes_both_ways_to_write_a_file() -> None:
    schema = json.loads(json.dumps(settings_schema()))
    assert set(schema["properties"]) == set(Settings.model_fields) | set(ClusterSettings.model_fields)
    assert schema["additionalProperties"] is False
    assert schema["then"]["properties"].keys() == ClusterSettings.model_fields.keys()
    assert all(group["additionalProperties"] is False for group in schema["$defs"].values())


def test_the_schema_says_all_that_the_tree_says() -> None:
    schema = json.loads(json.dumps(settings_schema()))
    for setting in all_settings():
        found = schema
        for part in setting.key:
            name = re.search(r"/\$defs/(\w+)", json.dumps(found))
            group = schema["$defs"][name[1]] if "properties" not in found and name else found
            found = group["properties"][part]
        assert found["description"] == setting.field.description, written_path(setting.key)
        assert found.get("x-unit", "") == setting.unit
        assert "default" in found or "$ref" in found


def test_the_manual_is_not_stale() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == manual(), "trunkline config manual > docs/settings.md"


def test_the_manual_tells_every_setting() -> None:
    text = manual()
    for setting in all_settings():
        heading = (
            f"\n## `{written_path(setting.key)}`\n" if setting.section else f"\n- **`{written_path(setting.key)}`**"
        )
        assert text.count(heading) == 1
    for block in re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL):
        assert yaml.safe_load(block)


class TestCommands:
    """The faces; what they print is tested above."""

    def run(self, *args: str, **environ: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["config", *args], env={"TRUNKLINE_CONFIG": None, **environ})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    def test_show(self, tmp_path: Path) -> None:
        file = tmp_path / "t.yml"
        file.write_text("patroni: [a]\n")
        code, output = self.run("show", "-c", str(file), "--scope", "orders", "--patroni", "b", "--patroni", "c")
        assert code == 0
        assert "scope: orders" in output
        assert "['http://b:8008', 'http://c:8008']" in output
        assert yaml.safe_load(output)["scope"] == "orders"

    def test_check(self, tmp_path: Path) -> None:
        file = tmp_path / "t.yml"
        file.write_text("patroni: [a]\n")
        code, output = self.run("check", TRUNKLINE_CONFIG=str(file))
        assert (code, output) == (0, f"the settings are right ({file})\n")

    def test_schema_and_manual(self) -> None:
        assert json.loads(self.run("schema")[1]) == settings_schema()
        assert self.run("manual")[1] == manual()
