"""From what a driver hands over to a Polars column, with nothing changed in silence."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl

#: One column of a batch: a series from Arrow, or Python's own values.
RawColumn = pl.Series | list[Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_US = round((datetime(1, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()) * 1_000_000
_LAST_US = round((datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH).total_seconds() + 86_400) * 1_000_000 - 1


def convert(name: str, values: RawColumn, dtype: pl.DataType) -> tuple[pl.Series, RawColumn]:
    """Put a column into the type in which it is checked.

    Parameters
    ----------
    name : str
        The column.
    values : polars.Series or list, of length n_rows
        Values as the driver gave them.
    dtype : polars.DataType
        What `tabloop.data.sql.types.frame_dtype` chose. Moments may come as microseconds since 1970 UTC.

    Returns
    -------
    series : polars.Series of length n_rows
        Of that type, or of text where a value is of another type: the check then refuses that row, and
        shows the value as it is.
    hashed : polars.Series or list, of length n_rows
        The same values for `tabloop.data.sql.content_hash`; they do not depend on what else is in the batch.

    Examples
    --------
    >>> convert("x", [1, "two", None], pl.Int64())[0].to_list()
    ['1', 'two', None]
    """
    if isinstance(dtype, pl.Datetime):
        return _moments(name, values)
    if isinstance(values, pl.Series):
        series = values.alias(name) if values.dtype == dtype else values.cast(dtype).alias(name)
        return series, series
    if dtype == pl.Float64 and isinstance(next((v for v in values if v is not None), None), Decimal):
        values = [float(v) if isinstance(v, Decimal) else v for v in values]
    for wanted in (dtype, pl.Int64()) if dtype == pl.Boolean else (dtype,):
        try:
            series = pl.Series(name, values, dtype=wanted, strict=True)
        except (TypeError, OverflowError, pl.exceptions.PolarsError):
            continue
        return series, series
    if dtype == pl.Float64:  # where every value is a number, whole ones are floats too
        return _as_texts(name, values), [float(v) if type(v) is int else v for v in values]
    return _as_texts(name, values), values


def _moments(name: str, values: RawColumn) -> tuple[pl.Series, RawColumn]:
    if isinstance(values, list):
        first = next((v for v in values if v is not None), None)
        if isinstance(first, int):
            series = pl.Series(name, values, dtype=pl.Int64)
        else:
            zoned = isinstance(first, datetime) and first.tzinfo is not None
            try:
                series = pl.Series(
                    name, values, dtype=pl.Datetime("us", "UTC" if zoned else None), strict=True
                )
            except (TypeError, OverflowError, ValueError, pl.exceptions.PolarsError):
                return _as_texts(name, values), values
    else:
        series = values.cast(pl.Datetime("us")) if values.dtype == pl.Date else values
        if isinstance(series.dtype, pl.Datetime) and series.dtype.time_unit != "us":
            series = series.dt.cast_time_unit("us")
    since = series.to_physical().alias(name)
    moments = since.cast(pl.Datetime("us", "UTC"))
    outside = ((since < _FIRST_US) | (since > _LAST_US)).fill_null(False)
    if not outside.any():
        return moments, moments
    # Python has no such moment, and Polars ends the process rather than print one
    inside = since.zip_with(~outside, pl.Series([None], dtype=pl.Int64)).cast(pl.Datetime("us", "UTC"))
    texts = inside.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    said = pl.Series(["infinity, or outside the years 1 to 9999"])
    return texts.zip_with(~outside, said).alias(name), moments


def _as_texts(name: str, values: list[Any]) -> pl.Series:
    return pl.Series(name, [None if v is None else _text(v) for v in values], dtype=pl.String)


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)
