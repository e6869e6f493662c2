"""Write docs/configuration.md from the types, so that it cannot be wrong."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tabloop.config.config import Config

_HEAD = """# Configuration

Here you look up every setting: its type, its default and its meaning. Generated from the types by
`make docs`; a test fails when it is stale.

Settings come from the defaults below, then `config.yaml` (or `--config PATH`), then environment variables
`TABLOOP_SECTION__KEY` (and `TABLOOP_SEED`), then `--set section.key=value`, which is read as YAML and may be
repeated. Paths are relative to the folder of the config file. Every setting is checked, and all that is wrong
or unknown is reported in one message. `tabloop config show` prints what is in force.

`contract.columns`, `contract.features` and `training.candidates` hold names of your own; what each entry may
say is listed under its type. Formulas are described in [formulas.md](formulas.md).
"""


def render_reference() -> str:
    """Write the whole page.

    Returns
    -------
    page : str
        Markdown, one table a section.
    """
    parts = [_HEAD]
    for name, field in Config.model_fields.items():
        section = _section(field.annotation)
        if section is None:
            parts.append(_table("Top level", "", {name: field}))
        else:
            parts.append(f"## `{name}`\n\n{_sentence(section)}\n\n" + "\n\n".join(_tables(name, section)))
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _tables(prefix: str, section: type[BaseModel]) -> Iterator[str]:
    plain = {
        n: f for n, f in section.model_fields.items() if not _members(f) and _section(f.annotation) is None
    }
    if plain:
        yield _table("", prefix, plain)
    for name, field in section.model_fields.items():
        below = _section(field.annotation)
        if below is not None:
            may_be_null = " Null, which is the default, for none." if field.default is None else ""
            yield f"### `{prefix}.{name}`\n\n{_sentence(below)}{may_be_null}\n\n" + "\n\n".join(
                _tables(f"{prefix}.{name}", below)
            )
        place = f"{prefix}.{name}.<name>" if _is_mapping(field) else f"{prefix}.{name}"
        shared = _shared(_members(field))
        if shared:
            yield f"### `{place}` of every type\n\n" + _table("", place, shared)
        for member in _members(field):
            tag_name, tag = _tag(member)
            own = {n: f for n, f in member.model_fields.items() if n not in shared and not _is_fixed(f)}
            yield (
                f"### `{place}` with `{tag_name}: {tag}`\n\n{_sentence(member)}\n\n"
                + _table("", f"{place}[{tag}]", own)
            )


def _table(title: str, prefix: str, fields: dict[str, FieldInfo]) -> str:
    lines = [f"## {title}", ""] if title else []
    if not fields:
        return "\n".join([*lines, "No settings of its own."])
    lines += ["| setting | type | default | meaning |", "|---|---|---|---|"]
    for name, field in fields.items():
        full = f"{prefix}.{name}" if prefix else name
        cells = [f"`{full}`", _type(field), _default(field), (field.description or "").replace("|", "\\|")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _type(field: FieldInfo) -> str:
    limits = []
    for limit in field.metadata:
        match limit:
            case annotated_types.Ge():
                limits.append(f"≥ {limit.ge}")
            case annotated_types.Gt():
                limits.append(f"> {limit.gt}")
            case annotated_types.Le():
                limits.append(f"≤ {limit.le}")
            case annotated_types.Lt():
                limits.append(f"< {limit.lt}")
            case _:
                pass
    return ", ".join([_annotation(field.annotation), *limits])


def _annotation(annotation: Any) -> str:
    plain = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null"}
    if annotation in plain:
        return plain[annotation]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotation(inner[0])
    if origin is Literal:
        return " or ".join(f"`{'null' if value is None else value}`" for value in inner)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(dict.fromkeys(_annotation(member) for member in inner))
    if origin is tuple:
        return f"list of {_annotation(inner[0])}"
    if origin is dict:
        return "names with values"
    return str(getattr(annotation, "__name__", annotation))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined or isinstance(value, BaseModel):
        return ""
    if isinstance(value, dict):
        return f"`{{{', '.join(value)}}}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{'null' if value is None else str(value).lower() if isinstance(value, bool) else value}`"


def _section(annotation: Any) -> type[BaseModel] | None:
    if get_origin(annotation) in (types.UnionType, typing.Union):  # the section may be null
        inner = [member for member in get_args(annotation) if member is not type(None)]
        annotation = inner[0] if len(inner) == 1 else None
    is_section = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation if is_section else None


def _is_mapping(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is dict


def _members(field: FieldInfo) -> list[type[BaseModel]]:
    """Find the members of a tagged union, itself or as the values of a mapping."""
    annotation = get_args(field.annotation)[1] if _is_mapping(field) else field.annotation
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) not in (types.UnionType, typing.Union) or _section(annotation) is not None:
        return []
    members = [m for m in get_args(annotation) if isinstance(m, type) and issubclass(m, BaseModel)]
    return members if len(members) > 1 else []


def _shared(members: list[type[BaseModel]]) -> dict[str, FieldInfo]:
    """Find the settings that every member of a union has in the same words."""
    if not members:
        return {}
    first, *others = (member.model_fields for member in members)
    return {
        name: field
        for name, field in first.items()
        if field.description
        and all(name in fields and fields[name].description == field.description for fields in others)
    }


def _is_fixed(field: FieldInfo) -> bool:
    """Tell whether a field has one possible value, such as the tag of its kind: nobody can set it."""
    return get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1


def _tag(member: type[BaseModel]) -> tuple[str, str]:
    name = "type" if "type" in member.model_fields else "kind"
    return name, str(get_args(member.model_fields[name].annotation)[0])


def _sentence(section: type[BaseModel]) -> str:
    return (section.__doc__ or "").split("\n\n")[0].replace("\n    ", " ").strip()


if __name__ == "__main__":
    Path("docs/configuration.md").write_text(render_reference(), encoding="utf-8")
