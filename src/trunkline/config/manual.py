"""The manual of the settings, written from the tree: `docs/settings.md` and `trunkline config manual`."""

from collections.abc import Iterator

import yaml
from pydantic import SecretStr

from trunkline.config.addresses import Bind
from trunkline.config.describe import Setting, all_settings
from trunkline.config.environment import variable
from trunkline.config.faults import written_path
from trunkline.config.settings import Section

HEAD = """\
# Settings

<!-- Written by `trunkline config manual > docs/settings.md`; a test fails where it differs. -->

A whole settings file of one cluster, for `/etc/trunkline/trunkline.yml` or `--config FILE`:

```yaml
patroni: [http://10.0.0.11:8008]
```

On a host with a Patroni of its own not even that is needed: scope, REST address, TLS and user are taken from
`/etc/patroni/config.yml`, `/etc/patroni/patroni.yml`, the one file of a cluster in `/etc/patroni`, or
`--patroni-config FILE`.

- **Strength.** Flags go before environment variables, these before the file, this before what the host's own Patroni
  says, this before defaults. `trunkline config show` says what is in force and where each value comes from.
- **Environment.** `TRUNKLINE_` and the name in capitals, two underscores between levels: `TRUNKLINE_STATS__USER` is
  `stats.user`. Lists are comma separated, `null` is nothing, `{}` switches a service on. An empty variable is one that
  is not set. `TRUNKLINE_CONFIG` names the file, `TRUNKLINE_PATRONI_CONFIG` that of the host's own Patroni.
- **Several clusters** behind one HAProxy are a list, `clusters:`, whose entries hold what otherwise stands at the top
  (from `scope` to `hold`), each with a scope, APIs and ports of its own; in the environment they are numbered,
  `TRUNKLINE_CLUSTERS__0__SCOPE`.
- **Units** stand in the names: `_s` is seconds, `_ms` milliseconds. Relative paths in a file start from its directory.
- **Mistakes** are told all at once, each with line, path, what is allowed and a hint; nothing is touched.
  `trunkline config check` does only that. `trunkline config schema` prints a JSON Schema for editors, which find it
  with `# yaml-language-server: $schema=./trunkline.schema.json` in the first line of the file.
"""


def manual() -> str:
    """The whole manual, as Markdown."""
    return HEAD + "".join(_parts())


def _parts() -> Iterator[str]:
    top = [setting for setting in all_settings() if len(setting.key) == 1 and setting.section is None]
    yield "\n## At the top\n\n" + "".join(map(_entry, top))
    for setting in all_settings():
        if setting.section is None:
            continue
        entries = "".join(map(_entry, _members(setting)))
        yield f"\n## `{written_path(setting.key)}`\n\n{_prose(setting)}\n" + (f"\n{entries}" if entries else "")


def _members(group: Setting) -> list[Setting]:
    members = [setting for setting in all_settings() if setting.key[:-1] == group.key]
    return [setting for setting in members if setting.section is None]


def _prose(setting: Setting) -> str:
    section = setting.section
    own = " ".join((section.__doc__ or "").split()) if section is not None else ""
    told = setting.field.description or ""
    prose = own if told.rstrip(".") in own else f"{told} {own}"
    return prose if setting.field.default is not None else f"{prose} Off by default."


def _entry(setting: Setting) -> str:
    unit = f" {setting.unit}" if setting.unit and setting.field.default is not None else ""
    return (
        f"- **`{written_path(setting.key)}`** = `{default_text(setting.field.default)}`{unit}\\\n"
        f"  {setting.field.description}\\\n"
        f"  *Allowed:* {setting.allowed}. {f'*Unit:* {setting.unit}. ' if setting.unit else ''}"
        f"*Environment:* `{variable(setting.key)}`\n"
    )


def default_text(value: object) -> str:
    """A default as it would stand in a file."""
    match value:
        case None:
            return "null"
        case Section():
            return "{}"
        case SecretStr():
            raise AssertionError("a secret has no default")
        case tuple() if all(isinstance(item, Bind) for item in value) and value:
            return "[" + ", ".join(f'"{item}"' for item in value) + "]"
        case tuple():
            value = list(value)
    return yaml.safe_dump([value], default_flow_style=True)[1:-2]
