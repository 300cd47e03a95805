"""JSON Schema of a settings file, for editors: both ways to write it, one cluster at the top or a list of them."""

from trunkline.config.describe import CLUSTERS
from trunkline.config.settings import ClusterSettings, Settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def settings_schema() -> dict[str, object]:
    """The schema, with help, default and (as `x-unit`) unit of every setting."""
    schema = Settings.model_json_schema()
    cluster = schema["$defs"]["ClusterSettings"]["properties"]
    for group in (schema, *schema["$defs"].values()):
        for field in group["properties"].values():
            field.pop("title", None)
            if "$ref" in field:
                # a group's default is that of its fields, and they say it themselves
                field.pop("default", None)
    return {
        "$schema": DIALECT,
        "title": "trunkline.yml",
        "description": "Settings of Trunkline.",
        "type": "object",
        "additionalProperties": False,
        "properties": cluster | schema["properties"],
        "if": {"required": [CLUSTERS]},
        "then": {"properties": dict.fromkeys(ClusterSettings.model_fields, False)},
        "$defs": schema["$defs"],
    }
