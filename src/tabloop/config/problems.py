"""Say what is wrong with a configuration: where, what was got, what was expected."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from tabloop.config.config import Config
from tabloop.config.gone_settings import GONE_SETTINGS
from tabloop.config.yaml_text import write_yaml
from tabloop.errors import suggestion

_EXPECTED = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "literal_error": "{expected}",
    "string_type": "a text (quote it)",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of a size that a machine holds",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "dict_type": "names with values",
    "model_type": "a section",
    "model_attributes_type": "a section",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "too_short": "at least {min_length} of them",
    "string_pattern_mismatch": "a text that matches {pattern}",
    "union_tag_invalid": "{expected_tags}",
}


def describe_problems(
    error: ValidationError,
    where: str,
    origins: Mapping[tuple[str, ...], str],
) -> str:
    """Write every problem of a configuration as one message.

    Parameters
    ----------
    error : pydantic.ValidationError
        The validation error to put into sentences.
    where : str
        The file they came from.
    origins : mapping of path to str
        Which settings came from elsewhere, such as `--set`.

    Returns
    -------
    message : str
        One line a setting, each with what was got and expected.
    """
    told: dict[tuple[str, ...], str] = {}
    for problem in error.errors():
        path, model = _walk(problem["loc"])
        section = problem["input"]
        if problem["type"] == "extra_forbidden" and isinstance(section, dict) and _is_gone_section(path):
            told |= {(*path, key): _unknown((*path, key), []) for key in section}
            continue
        said = _describe(problem, path, model)
        if not path:  # two sections do not fit each other: the sentence begins with the setting
            named, _, rest = said.partition(": ")
            if rest and re.fullmatch(r"[\w.]+", named):
                path, said = tuple(named.split(".")), rest
        # the members of a plain union complain one by one: all they expect belongs on one line
        got, expected, more = said.partition(", expected ")
        told[path] = f"{told[path]} or {more}" if expected and told.get(path, "").startswith(got) else said
    lines = []
    for path, said in told.items():
        near = [key for key in origins if path and (path[: len(key)] == key or key[: len(path)] == path)]
        origin = f" (from {origins[max(near, key=len)]})" if near else ""
        lines.append(f"  {'.'.join(path)}: {said}{origin}" if path else f"  {said}")
    count = f"{len(lines)} settings are wrong" if len(lines) > 1 else "1 setting is wrong"
    return f"{where}: {count}\n" + "\n".join(lines)


def _describe(problem: Any, path: tuple[str, ...], model: type[BaseModel] | None) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(path, list(model.model_fields) if model is not None else [])
    if kind == "missing":
        description = model.model_fields[path[-1]].description if model is not None else None
        return f"missing; it says: {description}" if description else "missing"
    if kind == "union_tag_not_found":
        return f"missing {context['discriminator'].strip(chr(39))}, which says what it is"
    if kind == "union_tag_invalid":
        tag = context["tag"]
        known = [t.strip().strip("'") for t in context["expected_tags"].split(",")]
        key = context["discriminator"].strip("'")
        return f"got {key} {tag!r}{suggestion(tag, known)}"
    if kind == "value_error":
        return str(context["error"])
    got = problem["input"]
    expected = _EXPECTED.get(kind)
    if expected is None:
        return f"got {_shown(got)}: {problem['msg']}"
    return f"got {_shown(got)}, expected {expected.format(**context)}"


def _unknown(path: tuple[str, ...], known: list[str]) -> str:
    gone = GONE_SETTINGS.get(".".join(path))
    return f"this setting is gone: {gone}" if gone else f"unknown setting{suggestion(path[-1], known)}"


def _is_gone_section(path: tuple[str, ...]) -> bool:
    """Tell whether the settings that are gone lie in a section of this path, which is gone with them."""
    return any(name.startswith(".".join(path) + ".") for name in GONE_SETTINGS)


def _shown(value: Any) -> str:
    """Write a value as it would stand in the file."""
    text = write_yaml(value, default_flow_style=True, width=10_000)
    text = text.removesuffix("...\n").strip()
    return text if len(text) <= 80 else f"{text[:77]}..."


def _walk(location: tuple[int | str, ...]) -> tuple[tuple[str, ...], type[BaseModel] | None]:
    """Follow an error's location through the types.

    Pydantic puts the tag of a union member into the path; a person wrote no such key. What comes back
    is the path as written, and the section that holds its last key.
    """
    path: list[str] = []
    here: Any = Config
    holder: type[BaseModel] | None = None
    for step in location:
        here = _strip(here)
        tagged = _member(here, step)
        if tagged is not None:
            here = tagged
            continue
        if isinstance(here, type) and issubclass(here, BaseModel):
            holder = here
            field = here.model_fields.get(str(step))
            path.append(str(step))
            here = _annotation(field) if field is not None else None
        elif here is not None and get_origin(here) is dict:
            path.append(str(step))
            here, holder = get_args(here)[1], None
        elif here is not None and get_origin(here) is tuple:
            path.append(str(step))
            here, holder = get_args(here)[0], None
        elif isinstance(step, int):
            path.append(str(step))
        # what is left are the members of a plain union (`float`, `literal[...]`), which nobody wrote
    return tuple(path), holder


def _annotation(field: Any) -> Any:
    return Annotated[field.annotation, field] if field.discriminator else field.annotation


def _strip(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (types.UnionType, typing.Union):
        others = [member for member in get_args(annotation) if member is not types.NoneType]
        if len(others) == 1:  # a section that may be left out is one all the same
            return _strip(others[0])
    return annotation


def _member(annotation: Any, tag: int | str) -> Any:
    """Find the member of a tagged union with this tag."""
    if get_origin(annotation) not in (types.UnionType, typing.Union):
        return None
    for member in get_args(annotation):
        member = _strip(member)
        if isinstance(member, type) and issubclass(member, BaseModel):
            for key in ("type", "kind"):
                field = member.model_fields.get(key)
                if field is not None and tag in get_args(field.annotation):
                    return member
    return None
