"""What the query of a request may hold, as types."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from tabloop.contract.columns.column import JsonSchema
from tabloop.errors import QueryError


class HistoryQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which stretch of the past."""

    hours: Annotated[int, Meta(ge=1, le=744, description="How far back.")] = 720
    periods: Annotated[int, Meta(ge=1, le=200, description="Into how many stretches, at most.")] = 60


class FeatureQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which feature."""

    name: Annotated[str, Meta(min_length=1, max_length=256, description="The feature's name.")]


_Moment = Annotated[datetime, Meta(tz=True)]


class PredictionsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which predictions."""

    since: Annotated[_Moment | None, Meta(description="Logged at or after it, with a time zone.")] = None
    until: Annotated[_Moment | None, Meta(description="Logged before it.")] = None
    run_id: Annotated[str, Meta(max_length=100, description="Who answered.")] | None = None
    label: Annotated[int, Meta(ge=0, le=1, description="What was decided.")] | None = None
    min_probability: Annotated[float, Meta(ge=0, le=1, description="The least probability.")] = 0.0
    max_probability: Annotated[float, Meta(ge=0, le=1, description="The largest probability.")] = 1.0
    before: Annotated[str, Meta(max_length=60, description="Where an earlier search ended.")] | None = None
    limit: Annotated[int, Meta(ge=1, le=200, description="Most predictions.")] = 50


class RetrainQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From where on the log of the retraining is told."""

    after: Annotated[int, Meta(ge=0, le=2**53, description="The byte from which on.")] = 0


#: By path.
QUERIES: dict[str, type[msgspec.Struct]] = {
    "/monitoring/performance": HistoryQuery,
    "/predictions": PredictionsQuery,
    "/monitoring/retraining": RetrainQuery,
    "/monitoring/traffic": HistoryQuery,
    "/monitoring/windows": HistoryQuery,
    "/monitoring/feature": FeatureQuery,
}

_MOMENTS = ("since", "until")
_DAY = re.compile(r"\d{4}-\d\d-\d\dT")

Query = TypeVar("Query", bound=msgspec.Struct)


def read_query(items: Iterable[tuple[str, str]], kind: type[Query]) -> Query:
    """Read a query.

    Raises
    ------
    QueryError
        If a name is unknown, stands twice or is missing, or a value is not what its name takes.

    Examples
    --------
    >>> read_query([("hours", "24")], HistoryQuery)
    HistoryQuery(hours=24, periods=60)
    """
    given: dict[str, str] = {}
    for name, value in items:
        if name in given:
            raise QueryError(f"{name[:100]!r} is given twice, expected once")
        if name in _MOMENTS and not _DAY.match(value):  # msgspec would take a number for seconds since 1970
            raise QueryError(f"{name}: got {value[:40]!r}, expected a time such as 2026-01-31T12:00:00Z")
        given[name] = value
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        known = ", ".join(kind.__struct_fields__)
        raise QueryError(f"the query cannot be read: {error}; it takes {known}") from None


def query_parameters(kind: type[msgspec.Struct]) -> list[JsonSchema]:
    """Describe a query as parameters of OpenAPI."""
    (schema,), components = msgspec.json.schema_components([kind])
    described: JsonSchema = components[kind.__name__] if "$ref" in schema else schema
    required = described.get("required", [])
    parameters = []
    for name, value in described["properties"].items():
        said = value.pop("description", "")
        parameters.append(
            {"name": name, "in": "query", "required": name in required, "description": said, "schema": value}
        )
    return parameters
