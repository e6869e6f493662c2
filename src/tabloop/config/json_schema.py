"""The JSON schema of `config.yaml`, by which editors complete and check it."""

from __future__ import annotations

import json
from typing import Any

from tabloop.config.config import Config
from tabloop.config.training import CANDIDATE_KINDS

#: Where `init` writes the schema, beside the config.
SCHEMA_FILE = "config.schema.json"


def config_schema() -> dict[str, Any]:
    """Describe every setting with its type, limits, default and meaning.

    What spans several settings, such as a column that is used and ignored at once, is checked when the
    config is loaded, and not by the schema.

    Returns
    -------
    schema : dict
        JSON schema, draft 2020-12. An unknown setting does not fit it.

    References
    ----------
    .. [1] JSON Schema, https://json-schema.org/draft/2020-12.

    Examples
    --------
    >>> config_schema()["properties"]["seed"]["description"]
    'Fixes every random choice.'
    """
    schema = Config.model_json_schema()
    _plain(schema)
    definitions = schema["$defs"]
    candidates = definitions["TrainingConfig"]["properties"]["candidates"]
    any_kind = candidates["additionalProperties"]
    candidates["properties"] = {
        kind: {"anyOf": [_without_kind(definitions, any_kind, kind), any_kind, {"type": "null"}]}
        for kind in CANDIDATE_KINDS
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "tabloop config"} | schema


def schema_json() -> str:
    """Write `config_schema` as a file."""
    return json.dumps(config_schema(), indent=1, ensure_ascii=False) + "\n"


def schema_comment() -> str:
    """Write the first line of a config, which tells editors where its schema is: beside it."""
    return f"# yaml-language-server: $schema={SCHEMA_FILE}\n"


def _without_kind(definitions: dict[str, Any], any_kind: dict[str, Any], kind: str) -> dict[str, Any]:
    """Describe a candidate whose name says its kind."""
    (member,) = (
        definitions[each["$ref"].rpartition("/")[2]]
        for each in any_kind["oneOf"]
        if definitions[each["$ref"].rpartition("/")[2]]["properties"]["kind"]["const"] == kind
    )
    required = [name for name in member["required"] if name != "kind"]
    properties = {name: value for name, value in member["properties"].items() if name != "kind"}
    described: dict[str, Any] = member | {"properties": properties, "required": required}
    return described


def _plain(value: Any) -> None:
    """Leave out titles, which repeat the names, and what is no JSON schema, in place."""
    if isinstance(value, list):
        for each in value:
            _plain(each)
    if not isinstance(value, dict):
        return
    if isinstance(value.get("title"), str):
        del value["title"]
    if isinstance(value.get("discriminator"), dict) and "propertyName" in value["discriminator"]:
        del value["discriminator"]
    for each in value.values():
        _plain(each)
