"""The list of records in the JSON of a body, or why there is none."""

from __future__ import annotations

from typing import Any

from tabloop.contract.checks.record import shown_text
from tabloop.contract.checks.strict_json import RepeatedKeysObject
from tabloop.errors import MalformedBodyError, TooManyRecordsError


def listed_records(value: Any, max_records: int) -> list[Any]:
    """Take the list out of a body, or say why there is none."""
    expected = 'expected {"records": [...]}'
    if not isinstance(value, dict):
        raise MalformedBodyError(f"got {kind_of(value)}, {expected}")
    if isinstance(value, RepeatedKeysObject):
        raise MalformedBodyError(f"{shown_text(value.repeated[0])!r} stands there twice, {expected}")
    if "records" not in value:
        raise MalformedBodyError(f"records is missing, {expected}")
    records = value["records"]
    if not isinstance(records, list):
        raise MalformedBodyError(f"records is {kind_of(records)}, {expected}")
    if not records:
        raise MalformedBodyError("records is empty, expected at least one record")
    if len(records) > max_records:
        raise TooManyRecordsError(
            f"got {len(records)} records, expected at most {max_records}: send several requests"
        )
    return records


def kind_of(value: Any) -> str:
    """Name the kind of a JSON value."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a text"
        case int() | float():
            return "a number"
        case list():
            return "an array"
        case _:
            return "an object"
