"""The tree itself: defaults that hold, and what every field must say of itself."""

import pytest
from pydantic import ValidationError

from trunkline.config.addresses import Bind
from trunkline.config.describe import Setting, all_settings, allowed
from trunkline.config.faults import SECRET_NAMES, written_path
from trunkline.config.rules import broken_files, broken_rules
from trunkline.config.settings import (
    ClusterSettings,
    ReplicaServiceSettings,
    ServicesSettings,
    Settings,
    StatsSettings,
)

ALL = list(all_settings())


@pytest.mark.parametrize("setting", ALL, ids=lambda setting: written_path(setting.key))
def test_every_setting_has_help_a_default_and_words_for_what_is_allowed(setting: Setting) -> None:
    about = setting.field.description or ""
    assert about[:1].isupper() or about.startswith(("`", '"'))
    assert about.endswith((".", ")"))
    assert not setting.field.is_required()
    assert "value" not in allowed(setting.field).split(), "a type that describe.py has no words for"


@pytest.mark.parametrize("setting", ALL, ids=lambda setting: written_path(setting.key))
def test_a_unit_is_told_by_field_and_name_alike(setting: Setting) -> None:
    name = str(setting.key[-1])
    suffix = next((unit for unit in ("ms", "s") if name.endswith(f"_{unit}")), "")
    assert setting.unit == suffix or (name, setting.unit) == ("lag_limit", "bytes")


def test_defaults_are_valid_and_fit_together() -> None:
    settings = Settings(clusters=(ClusterSettings(patroni=("http://10.0.0.11:8008",)),))
    assert Settings.model_validate(settings.model_dump()) == settings
    assert [*broken_rules(settings), *broken_files(settings)] == []


def test_secrets_are_told_by_their_name() -> None:
    secrets = [setting for setting in ALL if "Secret" in str(setting.field.annotation)]
    assert {setting.key[-1] for setting in secrets} == SECRET_NAMES
    assert "geheim" not in repr(StatsSettings(user="ops", password="geheim"))


def test_values_do_not_change() -> None:
    with pytest.raises(ValidationError):
        StatsSettings().user = "somebody"  # type: ignore[misc]


def test_equal_settings_are_one_key() -> None:
    def settings(tag: str) -> Settings:
        services = {"replicas": {"tags": {"a": tag, "b": True}}}
        return Settings.model_validate({"clusters": [{"patroni": ["a"], "services": services}]})

    assert len({settings("x"), settings("x"), settings("y")}) == 2
    assert hash(Settings()) == hash(Settings())


def test_conventional_ports() -> None:
    services = ServicesSettings.model_validate({"sync_replicas": {}, "async_replicas": {}})
    assert services.primary is not None
    assert services.replicas is not None
    assert services.sync_replicas is not None
    assert services.async_replicas is not None
    assert services.primary.bind == (Bind("*", 5000),)
    assert services.replicas.bind == (Bind("*", 5001),)
    assert services.sync_replicas.bind == (Bind("*", 5002),)
    assert services.async_replicas.bind == (Bind("*", 5003),)


def test_lag_limit_in_bytes() -> None:
    assert ReplicaServiceSettings(lag_limit="16MB").lag_limit_bytes == 16 * 1024 * 1024
    assert ReplicaServiceSettings().lag_limit_bytes is None
