"""Moments in time."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

import msgspec
from pydantic import Field, field_validator, model_validator

from tabloop.contract.columns.column import (
    ColumnProblem,
    ColumnType,
    JsonSchema,
    Parsed,
    Reader,
    RecordValue,
    Refusal,
    Sampler,
)
from tabloop.contract.columns.database_column import DatabaseColumn, DatabaseFit, SqlType
from tabloop.contract.columns.ranges import describe_range, range_problems, range_refusals, require_range
from tabloop.contract.formulas.parser import ColumnKind

if TYPE_CHECKING:
    import random

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

_EXPECTED: Final = "a moment in ISO 8601, such as 2026-01-31T12:00:00Z"
_EXPECTED_WRITTEN: Final = {
    "day_first": "a date such as 31.01.2026, a time with it or not, or ISO 8601",
    "month_first": "a date such as 1/31/2026, a time with it or not, or ISO 8601",
}
_WRITTEN: Final = re.compile(
    r"(?P<first>[0-9]{1,2})(?P<mark>[./-])(?P<second>[0-9]{1,2})(?P=mark)(?P<year>[0-9]{4})"
    r"(?:(?:,? |T)(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})"
    r"(?::(?P<second_>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,6}))?)?(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?)?\Z"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
_ROUND_MOMENTS: Final = tuple(datetime(2026, month, 1, 12, tzinfo=UTC) for month in range(1, 13))


def as_utc(moment: datetime) -> datetime:
    """Give a moment in UTC; one without a zone is taken to be UTC already.

    Examples
    --------
    >>> as_utc(datetime(2026, 1, 2)).isoformat()
    '2026-01-02T00:00:00+00:00'
    """
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def read_moment(text: str) -> datetime | None:
    """Read a moment in ISO 8601 as `datetime.fromisoformat` does; None where the text is none.

    Examples
    --------
    >>> read_moment("2026-01-31T13:00:00+01:00").isoformat()
    '2026-01-31T12:00:00+00:00'
    >>> read_moment("yesterday")
    """
    if not text.isascii() or "\0" in text:  # Python allows any character between date and time
        return None
    try:
        return as_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


DateOrder = Literal["iso", "day_first", "month_first"]


def read_written_moment(text: str, order: DateOrder) -> datetime | None:
    """Read a moment as a person writes it, such as `31.01.2026 13:45`; ISO 8601 is read in every order.

    Parameters
    ----------
    text : str
        Day, month and a year of four digits between points, slashes or hyphens, and a time if there is one.
    order : str
        Whether the day or the month comes first; `iso` reads ISO 8601 alone.

    Examples
    --------
    >>> read_written_moment("31.01.2026 13:45", "day_first").isoformat()
    '2026-01-31T13:45:00+00:00'
    >>> read_written_moment("1/31/2026 1:45 PM", "month_first").isoformat()
    '2026-01-31T13:45:00+00:00'
    >>> read_written_moment("31/01/2026", "month_first")
    """
    found = None if order == "iso" else _WRITTEN.match(text)
    if found is None:
        return read_moment(text)
    first, second, year = (int(found[name]) for name in ("first", "second", "year"))
    day, month = (first, second) if order == "day_first" else (second, first)
    hour = int(found["hour"] or 0)
    if found["half"] is not None:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if found["half"].lower() == "p" else 0)
    micros = int((found["fraction"] or "").ljust(6, "0"))
    try:
        return datetime(
            year, month, day, hour, int(found["minute"] or 0), int(found["second_"] or 0), micros, tzinfo=UTC
        )
    except ValueError:
        return None


class TimestampColumn(ColumnType):
    """Moments in ISO 8601; without a zone they are UTC. Models see seconds since 1970.

    A record keeps a moment as text in UTC, ending in Z.

    Examples
    --------
    >>> since = TimestampColumn(type="timestamp")
    >>> since.json_reader()("2026-01-31T13:00:00+01:00")
    '2026-01-31T12:00:00Z'
    >>> since.formula_value("1970-01-01T00:01:00.5Z")
    60.5
    """

    formula_kind: ClassVar[ColumnKind] = "number"
    is_json_string: ClassVar[bool] = True

    type: Literal["timestamp"]
    order: DateOrder = Field(
        "iso",
        description="How texts are written: `iso` in ISO 8601, `day_first` also as 31.01.2026 or 31/1/2026, "
        "`month_first` also as 1/31/2026; a time such as 13:45 or 1:45 PM may follow.",
    )
    minimum: datetime | None = Field(None, description="Earliest possible moment.")
    maximum: datetime | None = Field(None, description="Latest possible moment.")

    @field_validator("minimum", "maximum")
    @classmethod
    def _in_utc(cls, moment: datetime | None) -> datetime | None:
        try:
            return None if moment is None else as_utc(moment)
        except OverflowError as error:
            raise ValueError(
                f"{moment.isoformat() if moment else ''} is outside the years 1 to 9999"
            ) from error

    @model_validator(mode="after")
    def _range_in_order(self) -> TimestampColumn:
        require_range(self.minimum, self.maximum)
        return self

    @property
    def _expected(self) -> str:
        return _EXPECTED if self.order == "iso" else _EXPECTED_WRITTEN[self.order]

    @property
    def dtype(self) -> pl.DataType:
        """Datetime in microseconds and UTC."""
        import polars as pl

        return pl.Datetime("us", "UTC")

    def read_text(self, text: str) -> datetime | None:
        """Read a moment in the column's order; None where the text is none."""
        return read_written_moment(text, self.order)

    def _accepts(self, dtype: pl.DataType) -> bool:
        import polars as pl

        return dtype in (pl.Datetime, pl.Date)

    def _parse(self, values: pl.Series) -> Parsed:
        import polars as pl

        if values.dtype == pl.String:
            parsed = _map_distinct(values, self.read_text, self.dtype)
        elif values.dtype == pl.Date:
            parsed = values.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        elif isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
            parsed = values.cast(pl.Datetime("us", values.dtype.time_zone)).dt.convert_time_zone("UTC")
        else:
            parsed = values.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        return Parsed(parsed, parsed.is_not_null().to_numpy(), self._expected)

    def _limits(self, name: str, parsed: pl.Series) -> list[ColumnProblem]:
        return range_problems(name, parsed, self.minimum, self.maximum)

    def _json_reader(self) -> Reader:
        refused = Refusal("type", self._expected)
        minimum, maximum = self.minimum, self.maximum
        too_early, too_late = range_refusals(minimum, maximum)

        def read(value: Any) -> RecordValue | Refusal:
            moment = self.read_text(value) if isinstance(value, str) else None
            if moment is None:
                return refused
            if minimum is not None and moment < minimum:
                return too_early
            if maximum is not None and moment > maximum:
                return too_late
            return f"{moment.isoformat().removesuffix('+00:00')}Z"

        return read

    @property
    def msgspec_type(self) -> Any:
        """A text that is not empty."""
        return Annotated[str, msgspec.Meta(min_length=1)]

    def _json_schema(self) -> JsonSchema:
        limits = {"x-minimum": self.minimum, "x-maximum": self.maximum}
        return {
            "type": "string",
            **({"format": "date-time"} if self.order == "iso" else {}),
            **{key: limit.isoformat() for key, limit in limits.items() if limit is not None},
        }

    def formula_value(self, value: RecordValue) -> RecordValue:
        """Give the seconds since 1970 of a record's text; None where it is null or no moment."""
        moment = read_moment(value) if isinstance(value, str) else None
        # divided as float64, as tables do it: beyond 2255 the last bit would differ otherwise
        return None if moment is None else float((moment - _EPOCH) // _MICROSECOND) / 1e6

    def formula_numbers(self, typed: pl.Series) -> NDArray[np.float64]:
        """Give the seconds since 1970, NaN for null."""
        # NumPy divides; Polars multiplies by the reciprocal, which is off by the last bit
        return super().formula_numbers(typed.to_physical()) / 1e6

    def sampler(self, name: str, seed: int) -> Sampler:
        """Draw evenly over the range, or over ten years where it has an open end."""
        return self._sample

    def _sample(self, n_rows: int, rng: np.random.Generator) -> pl.Series:
        import numpy as np
        import polars as pl

        high = self.maximum or max(datetime(2030, 1, 1, tzinfo=UTC), self.minimum or _EARLIEST)
        low = self.minimum or max(_EARLIEST, high - min(timedelta(days=3650), high - _EARLIEST))
        micros = np.asarray(rng.random(n_rows) * ((high - low) / _MICROSECOND), dtype=np.int64)
        start = (low - _EPOCH) // _MICROSECOND
        return pl.Series(start + micros).cast(pl.Datetime("us")).cast(self.dtype)

    def examples(self, name: str, rng: random.Random) -> list[Any]:
        """Give the first of each month of a year, where the range has them, and its ends."""
        first, last = self.minimum, self.maximum
        moments = [*_ROUND_MOMENTS, *(end for end in (first, last) if end is not None)]
        return [
            moment.isoformat()
            for moment in moments
            if (first is None or first <= moment) and (last is None or moment <= last)
        ]

    @property
    def sql_type(self) -> SqlType:
        """A moment to the microsecond."""
        return SqlType("moment")

    def compare(self, found: DatabaseColumn) -> DatabaseFit:
        """Take moments, dates and texts."""
        where, said = f"column {found.name}", found.type_text
        match found.family:
            case "moment":
                notes = [] if found.zoned else [f"{where}: {said} has no time zone; it is read as UTC"]
                if "_ns" in said.lower():
                    notes.append(f"{where}: {said} is cut to microseconds")
                return DatabaseFit(notes=tuple(notes))
            case "date":
                return DatabaseFit(notes=(f"{where}: {said} is read as midnight UTC",))
            case "text":
                words = "ISO 8601" if self.order == "iso" else f"dates, {self.order.replace('_', ' ')}"
                return DatabaseFit(notes=(f"{where}: the texts of {said} are read as {words}",))
            case _:
                return self._does_not_fit(found)

    def _limit_words(self) -> list[str]:
        return describe_range(self.minimum, self.maximum)


def _map_distinct(values: pl.Series, read: Callable[[str], Any], dtype: pl.DataType) -> pl.Series:
    import polars as pl

    distinct = values.drop_nulls().unique(maintain_order=True)
    meanings = pl.Series([read(text) for text in distinct], dtype=dtype)
    if distinct.is_empty():
        return pl.Series([None] * len(values), dtype=dtype)
    return values.replace_strict(distinct, meanings, default=None, return_dtype=dtype)
