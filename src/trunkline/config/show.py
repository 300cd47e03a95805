"""The settings in force as a settings file, each value with where it comes from. Passwords are not shown.

Pure. What it prints can be read back, but for the passwords.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import SecretStr

from trunkline.config.addresses import Bind
from trunkline.config.describe import CLUSTERS
from trunkline.config.faults import Key
from trunkline.config.load import LoadedSettings
from trunkline.config.settings import Section
from trunkline.config.values import Tags

MASK = "********"
INDENT = "  "
COMMENT_AT = 48
WIDEST = 2**31


def settings_text(loaded: LoadedSettings) -> str:
    """The settings as YAML; those of a single cluster stand at the top."""
    return "".join(f"{line}\n" for line in _Writer(loaded).lines())


@dataclass(frozen=True, slots=True)
class _Writer:
    loaded: LoadedSettings

    def lines(self) -> Iterator[str]:
        settings = self.loaded.settings
        if len(settings.clusters) == 1:
            yield from self.group(settings.clusters[0], (CLUSTERS, 0), "")
        else:
            yield f"{CLUSTERS}:"
            for index, cluster in enumerate(settings.clusters):
                first, *rest = self.group(cluster, (CLUSTERS, index), "")
                yield f"{INDENT}- {first}"
                yield from (f"{INDENT}  {line}" for line in rest)
        yield from self.group(settings, (), "")

    def group(self, section: Section, at: Key, indent: str) -> Iterator[str]:
        for name in type(section).model_fields:
            key, value = (*at, name), getattr(section, name)
            if key == (CLUSTERS,):
                continue
            if isinstance(value, Section):
                yield f"{indent}{name}:"
                yield from self.group(value, key, indent + INDENT)
            else:
                yield f"{indent}{name}: {_scalar(value)}".ljust(COMMENT_AT) + f"  # {self.loaded.origin(key)}"


def _scalar(value: object) -> str:
    # inside a list, so that what must be quoted there is quoted
    return yaml.safe_dump([_plain(value)], default_flow_style=True, width=WIDEST, allow_unicode=True)[1:-2]


def _plain(value: object) -> object:
    match value:
        case SecretStr():
            return MASK
        case Path() | Bind():
            return str(value)
        case tuple():
            return [_plain(item) for item in value]
        case Tags():
            return dict(value)
    return value
