"""The contract as a JSON schema of one row."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from tabloop.contract.columns import (
    BooleanColumn,
    CategoryColumn,
    Column,
    IntegerColumn,
    NumberColumn,
    TextColumn,
    TimestampColumn,
)
from tabloop.contract.contract import Contract


def json_schema(contract: Contract) -> dict[str, Any]:
    """Describe a valid row as JSON Schema, draft 2020-12.

    Parameters
    ----------
    contract : Contract
        The contract.

    Returns
    -------
    schema : dict
        An object that takes the contract's columns and nothing else. A nullable column may be null or
        left out. Row rules have no counterpart in JSON Schema: they stand under `x-rules`, and a
        validator does not check them.

    Examples
    --------
    >>> contract = Contract.from_dict({"columns": {"days": {"type": "integer", "minimum": 0, "maximum": 9}},
    ...                                "target": {"name": "bought"}})
    >>> json_schema(contract)["properties"]["days"]
    {'type': 'integer', 'minimum': 0, 'maximum': 9}
    """
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Row",
        "type": "object",
        "properties": {name: column_schema(column) for name, column in contract.columns.items()},
        "required": [name for name, column in contract.columns.items() if not column.nullable],
        "additionalProperties": False,
    }
    if contract.rules:
        schema["x-rules"] = [str(rule) for rule in contract.rules]
    return schema


def column_schema(column: Column) -> dict[str, Any]:
    """Describe one column's values; null is among them where the column is nullable."""
    schema = _schema(column)
    if column.nullable:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    if column.description:
        schema["description"] = column.description
    return schema


@singledispatch
def _schema(column: Any) -> dict[str, Any]:
    raise TypeError(f"no schema for {type(column).__name__}")


@_schema.register
def _(column: IntegerColumn) -> dict[str, Any]:
    return {"type": "integer", "minimum": column.minimum, "maximum": column.maximum}


@_schema.register
def _(column: NumberColumn) -> dict[str, Any]:
    limits = {"minimum": column.minimum, "maximum": column.maximum}
    return {"type": "number", **{key: limit for key, limit in limits.items() if limit is not None}}


@_schema.register
def _(column: BooleanColumn) -> dict[str, Any]:
    return {"type": "boolean"}


@_schema.register
def _(column: TimestampColumn) -> dict[str, Any]:
    limits = {"x-minimum": column.minimum, "x-maximum": column.maximum}
    return {
        "type": "string",
        "format": "date-time",
        **{key: limit.isoformat() for key, limit in limits.items() if limit is not None},
    }


@_schema.register(CategoryColumn)
@_schema.register(TextColumn)
def _(column: CategoryColumn | TextColumn) -> dict[str, Any]:
    # an empty text is null, in a file as in a request, hence never a value
    schema: dict[str, Any] = {
        "type": "string",
        "minLength": max(1, column.min_length),
        "maxLength": column.max_length,
    }
    if column.pattern is not None:
        schema["pattern"] = f"^(?:{column.pattern})$"
    if isinstance(column, CategoryColumn) and column.categories is not None:
        schema["examples" if column.open else "enum"] = list(column.categories)
    return schema
