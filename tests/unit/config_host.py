"""A host with settings files, in a directory of the test's own."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from trunkline.config.discovery import Places
from trunkline.config.load import LoadedSettings, load_settings
from trunkline.errors import SettingsError


class Host:
    """A directory that stands for a host's /etc."""

    def __init__(self, root: Path) -> None:
        self.file = root / "trunkline.yml"
        self.patroni = root / "patroni"
        self.places = Places(
            settings=self.file,
            patroni=(self.patroni / "config.yml", self.patroni / "patroni.yml"),
            patroni_directory=self.patroni,
        )

    def load(
        self,
        text: str | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        patroni_config: Path | None = None,
        **overrides: object,
    ) -> LoadedSettings:
        if text is not None:
            self.file.write_text(text)
        return load_settings(
            None, environ=environ or {}, overrides=overrides, patroni_config=patroni_config, places=self.places
        )

    def faults(self, text: str | None = None, *, environ: Mapping[str, str] | None = None) -> str:
        """The whole message, with the file's directory cut away."""
        with pytest.raises(SettingsError) as error:
            self.load(text, environ=environ)
        return error.value.message.replace(f"{self.file.parent}/", "")

    def fault(self, text: str | None = None, *, environ: Mapping[str, str] | None = None) -> str:
        """The only fault."""
        first, *faults = self.faults(text, environ=environ).split("\n  ")
        assert first == "the settings have a fault"
        assert len(faults) == 1
        return faults[0]
