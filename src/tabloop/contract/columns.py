"""The column types of a contract, a closed union told apart by `type`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    field_validator,
    model_validator,
)

from tabloop.contract.formulas.parser import ColumnKind

#: Every integer up to this size has an exact float64, the number in which formulas and models compute.
LARGEST_EXACT_INTEGER = 2**53


class Section(BaseModel):
    """A closed, frozen group of settings: an unknown key is an error, a value cannot change later."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)


class _Column(Section):
    formula_kind: ClassVar[ColumnKind]

    nullable: StrictBool = Field(False, description="Whether a value may be missing.")
    null_values: tuple[str, ...] = Field(
        (), description="Texts that mean null, besides the empty field. By default none: `NA` is Namibia."
    )
    description: str = Field("", description="What the column means; shown in the model card and OpenAPI.")


class _TextLike(_Column):
    formula_kind: ClassVar[ColumnKind] = "text"

    min_length: StrictInt = Field(0, ge=0, description="Least number of characters.")
    max_length: StrictInt = Field(256, ge=1, le=1_000_000, description="Largest number of characters.")
    pattern: str | None = Field(
        None, description="Regular expression (Python's `re`) that the whole text must match."
    )

    @field_validator("pattern")
    @classmethod
    def _pattern_compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from error
        return pattern

    @model_validator(mode="after")
    def _lengths_in_order(self) -> _TextLike:
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is above max_length {self.max_length}")
        return self


class IntegerColumn(_Column):
    """Whole numbers, at most 2**53 in size so that float64 holds each exactly."""

    formula_kind: ClassVar[ColumnKind] = "number"

    type: Literal["integer"]
    minimum: StrictInt = Field(
        -LARGEST_EXACT_INTEGER, description="Smallest possible value, a physical limit."
    )
    maximum: StrictInt = Field(LARGEST_EXACT_INTEGER, description="Largest value, a physical limit.")

    @model_validator(mode="after")
    def _range_in_order(self) -> IntegerColumn:
        _require_range(self.minimum, self.maximum)
        for limit in (self.minimum, self.maximum):
            if abs(limit) > LARGEST_EXACT_INTEGER:
                raise ValueError(f"{limit} is beyond 2**53, which float64 does not hold exactly")
        return self


class NumberColumn(_Column):
    """Finite float64 numbers."""

    formula_kind: ClassVar[ColumnKind] = "number"

    type: Literal["number"]
    minimum: StrictFloat | None = Field(None, description="Smallest possible value, a physical limit.")
    maximum: StrictFloat | None = Field(None, description="Largest possible value, a physical limit.")

    @model_validator(mode="after")
    def _range_in_order(self) -> NumberColumn:
        _require_range(self.minimum, self.maximum)
        return self


class CategoryColumn(_TextLike):
    """Text from a set of categories, closed by default."""

    type: Literal["category"]
    categories: tuple[str, ...] | None = Field(None, description="The known categories.")
    open: StrictBool = Field(False, description="Whether a category that is not listed is accepted.")

    @model_validator(mode="after")
    def _categories_or_open(self) -> CategoryColumn:
        if self.categories is None:
            if not self.open:
                raise ValueError("give `categories`, or `open: true` to accept any")
            return self
        if not self.categories:
            raise ValueError("`categories` is empty")
        if len(set(self.categories)) != len(self.categories):
            twice = sorted({c for c in self.categories if self.categories.count(c) > 1})
            raise ValueError(f"listed twice: {', '.join(twice)}")
        if "" in self.categories:
            raise ValueError("an empty text is null in every source, it cannot be a category")
        for category in self.categories:
            problem = text_problem(category, self)
            if problem is not None:
                raise ValueError(f"category {category!r} breaks its own column: expected {problem[1]}")
            if category in self.null_values:
                raise ValueError(f"category {category!r} is also listed under null_values")
        return self


class TextColumn(_TextLike):
    """Free text: checked and logged, used by no model except through `isnull`."""

    type: Literal["text"]


class BooleanColumn(_Column):
    """True or false; which texts mean which is compared without case."""

    formula_kind: ClassVar[ColumnKind] = "condition"

    type: Literal["boolean"]
    true_values: tuple[str, ...] = Field(("true", "1"), description="Texts that mean true, in any case.")
    false_values: tuple[str, ...] = Field(("false", "0"), description="Texts that mean false, in any case.")

    @model_validator(mode="after")
    def _values_apart(self) -> BooleanColumn:
        both = {v.lower() for v in self.true_values} & {v.lower() for v in self.false_values}
        if both:
            raise ValueError(f"both true and false: {', '.join(sorted(both))}")
        if not self.true_values or not self.false_values:
            raise ValueError("true_values and false_values must each hold at least one text")
        return self


class TimestampColumn(_Column):
    """Moments in ISO 8601; without a zone they are UTC. Models see seconds since 1970."""

    formula_kind: ClassVar[ColumnKind] = "number"

    type: Literal["timestamp"]
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
        _require_range(self.minimum, self.maximum)
        return self


Column = Annotated[
    IntegerColumn | NumberColumn | CategoryColumn | BooleanColumn | TextColumn | TimestampColumn,
    Field(discriminator="type"),
]

#: Columns that reach the model as a float64.
NUMERIC_TYPES = (IntegerColumn, NumberColumn, BooleanColumn, TimestampColumn)


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
    if not text.isascii() or "\0" in text:  # Python takes any character between date and time
        return None
    try:
        return as_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def limit_text(limit: datetime | float) -> str:
    """Write the end of a range for a message.

    Examples
    --------
    >>> limit_text(10_000_000), limit_text(0.5)
    ('10000000', '0.5')
    """
    if isinstance(limit, datetime):
        return limit.isoformat()
    return str(limit) if isinstance(limit, int) else f"{limit:g}"


def text_problem(text: str, column: CategoryColumn | TextColumn) -> tuple[str, str] | None:
    """Check one text against its column.

    Parameters
    ----------
    text : str
        The value; never null.
    column : CategoryColumn or TextColumn
        What it has to be.

    Returns
    -------
    problem : (str, str) or None
        A short code (`text`, `length`, `pattern`, `category`) and what was expected; None when the
        text is fine.

    Examples
    --------
    >>> country = CategoryColumn(type="category", pattern="[A-Z]{2}", open=True)
    >>> text_problem("NA", country)
    >>> text_problem("Namibia", country)
    ('pattern', 'a text that matches [A-Z]{2}')
    """
    if "\0" in text:
        return "text", "a text without NUL characters"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "text", "valid Unicode without lone surrogates"
    if len(text) > column.max_length:
        return "length", f"at most {column.max_length} characters"
    if len(text) < column.min_length:
        return "length", f"at least {column.min_length} characters"
    if column.pattern is not None and re.fullmatch(column.pattern, text) is None:
        return "pattern", f"a text that matches {column.pattern}"
    if (
        isinstance(column, CategoryColumn)
        and not column.open
        and column.categories is not None
        and text not in column.categories
    ):
        return "category", f"one of {listing(column.categories)}"
    return None


def listing(names: tuple[str, ...] | list[str], most: int = 8) -> str:
    """Join names for a message, cut where there are many.

    Examples
    --------
    >>> listing(["a", "b", "c"], most=2)
    'a, b, ... (3 in all)'
    """
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])}, ... ({len(names)} in all)"


def _require_range(minimum: Any, maximum: Any) -> None:
    if minimum is not None and maximum is not None and minimum > maximum:
        raise ValueError(f"minimum {minimum} is above maximum {maximum}")
