"""Write docs/http.md from the OpenAPI document of the service, so that it cannot be wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from tabloop.config.loading import Project, load_project
from tabloop.contract.columns.column import JsonSchema
from tabloop.deployment.app import add_paths
from tabloop.deployment.documentation import Documentation
from tabloop.deployment.handlers import Service
from tabloop.deployment.problems import PROBLEMS

_HEAD = """# HTTP

Here you look up every path of the service, what it takes, what it answers and how it refuses. Generated
from the OpenAPI document of the bundled students by `make docs`; a test fails when it is stale. A running
service gives the document of your own table at `/openapi.json`, and shows it at `/docs`.
[Deployment](deployment.md) says how to run the service.

A body is UTF-8 JSON. Every answer that is no success is `application/problem+json` (RFC 9457);
[Problems](#problems) lists them.
"""


def render_reference() -> str:
    """Write the whole page.

    Returns
    -------
    page : str
        Markdown: each path, then each schema, then each problem.
    """
    document = describe_students()
    paths = [
        _operation(method.upper(), path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]
    schemas = document["components"]["schemas"]
    parts = [_HEAD, "## Paths", *paths, "## Schemas", *_schemas(schemas), _problems()]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def describe_students() -> JsonSchema:
    """Write the OpenAPI document of a service that answers about the bundled students, without a run."""
    with as_file(files("tabloop.demo") / "config.yaml") as path:
        project = load_project(path, environ={})
    config = project.config.serving
    posts = ("predict", "batch_predict", "explain", "feedback", "promote", "rollback", "retrain")
    handlers = {name: getattr(Service, name) for name in posts}
    service = SimpleNamespace(model=_NoModel(project), config=config, keys=None, **handlers)
    described = add_paths(cast("Service", service)).described
    return Documentation(described, cast("Service", service)).application().openapi()


class _NoModel:
    """What the document says of a model, where none is trained."""

    run_id = "<run_id>"

    def __init__(self, project: Project) -> None:
        self.contract = project.contract
        self.max_records = project.config.serving.max_records


def _operation(method: str, path: str, operation: JsonSchema) -> str:
    lines = [f"### `{method} {path}`", "", operation["summary"], "", "| | |", "|---|---|"]
    if "requestBody" in operation:
        lines.append(f"| takes | {_content(operation['requestBody'])} |")
    for status, answer in sorted(operation["responses"].items()):
        said = answer["description"]
        lines.append(f"| {status} | {_content(answer) if str(status) == '200' else said} |")
    return "\n".join(lines)


def _content(described: JsonSchema) -> str:
    contents = described["content"]  # FastAPI lists JSON even for an answer declared as text
    media_type = "text/plain" if "text/plain" in contents else next(iter(contents))
    content = contents[media_type]
    shown = _kind(content["schema"])
    return shown if media_type == "application/json" else f"{shown}, as `{media_type}`"


def _schemas(schemas: dict[str, JsonSchema]) -> Iterator[str]:
    for name, schema in sorted(schemas.items()):
        lines = [f"### `{name}`", ""]
        if said := schema.get("description", "").split("\n\n")[0].replace("\n", " "):
            lines += [said, ""]
        fields = schema.get("properties", {})
        if not fields:
            lines += [f"{_capital(_kind(schema))}.", ""]
        else:
            needed = schema.get("required", [])
            lines += ["| field | type | needed |", "|---|---|---|"]
            for field, kind in fields.items():
                lines.append(f"| `{field}` | {_kind(kind)} | {'yes' if field in needed else 'no'} |")
        if name == "Record":
            lines += ["", "For example:", "", *_indented(schema["examples"][0])]
        yield "\n".join(lines)


def _indented(value: object) -> list[str]:
    return [f"    {line}" for line in json.dumps(value, indent=1).splitlines()]


def _kind(schema: JsonSchema) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[`{name}`](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    match schema.get("type"):
        case "array":
            return f"list of {_kind(schema.get('items') or {})}"
        case "object":
            below = schema.get("additionalProperties")
            return f"object of {_kind(below)} by name" if isinstance(below, dict) else "object"
        case list() as kinds:
            return " or ".join(_kind({**schema, "type": kind}) for kind in kinds)
        case str() as kind:
            words = {"string": "text", "integer": "whole number", "boolean": "true or false"}
            return ", ".join([words.get(kind, kind), *_limits(schema, kind)])
    return "any"


def _limits(schema: JsonSchema, kind: str) -> Iterator[str]:
    if kind in ("integer", "number"):
        if "minimum" in schema:
            yield f"≥ {schema['minimum']}"
        if "maximum" in schema:
            yield f"≤ {schema['maximum']}"
    elif kind == "string":
        if "format" in schema:
            yield schema["format"]
        if "pattern" in schema:
            yield f"like `{schema['pattern']}`".replace("|", "\\|")
        if "maxLength" in schema:
            yield f"at most {schema['maxLength']} characters"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _problems() -> str:
    lines = [
        "## Problems", "",
        "`type` is `urn:tabloop:problem:` with one of these names. Where a time stands, the answer has the",
        "header `Retry-After`. [Deployment](deployment.md#errors) says when each occurs.", "",
        "| name | status | title | try again after |", "|---|---|---|---|",
    ]  # fmt: skip
    for name, kind in PROBLEMS.items():
        retry = f"{kind.retry_after_s} s" if kind.retry_after_s is not None else ""
        lines.append(f"| `{name}` | {kind.status} | {kind.title} | {retry} |".replace("|  |", "| |"))
    return "\n".join(lines)


if __name__ == "__main__":
    Path("docs/http.md").write_text(render_reference(), encoding="utf-8")
