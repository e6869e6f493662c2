"""Whole numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec
from pydantic import Field, StrictInt, model_validator

from tabloop.contract.columns.column import (
    ColumnProblem,
    InputType,
    JsonSchema,
    Parsed,
    Reader,
    RecordValue,
    Refusal,
    Sampler,
    only_where,
)
from tabloop.contract.columns.database_column import DatabaseColumn, DatabaseFit, Family, SqlType
from tabloop.contract.columns.ranges import (
    ROUND_NUMBERS,
    describe_range,
    range_problems,
    range_refusals,
    require_range,
    spread,
)
from tabloop.contract.columns.written_number import WrittenNumber
from tabloop.contract.formulas.parser import ColumnKind

if TYPE_CHECKING:
    import random

    import numpy as np
    import polars as pl

#: Every integer up to this size has an exact float64, the number in which formulas and models compute.
LARGEST_EXACT_INTEGER = 2**53

_LARGEST_INT32 = 2**31 - 1
_EXPECTED = "a whole number of at most 2**53 in size"


class IntegerColumn(WrittenNumber):
    """Whole numbers, at most 2**53 in size so that float64 holds each exactly.

    JSON may write them as integers or as floats that are whole.
    """

    formula_kind: ClassVar[ColumnKind] = "number"

    type: Literal["integer"]
    minimum: StrictInt = Field(
        -LARGEST_EXACT_INTEGER, description="Smallest possible value, a physical limit."
    )
    maximum: StrictInt = Field(LARGEST_EXACT_INTEGER, description="Largest value, a physical limit.")

    @model_validator(mode="after")
    def _range_in_order(self) -> IntegerColumn:
        require_range(self.minimum, self.maximum)
        for limit in (self.minimum, self.maximum):
            if abs(limit) > LARGEST_EXACT_INTEGER:
                raise ValueError(f"{limit} is beyond 2**53, which float64 does not hold exactly")
        return self

    @property
    def dtype(self) -> pl.DataType:
        """Int64."""
        import polars as pl

        return pl.Int64()

    def _accepts(self, dtype: pl.DataType) -> bool:
        return dtype.is_numeric()

    def _parse(self, values: pl.Series) -> Parsed:
        import numpy as np
        import polars as pl

        values = self.plain_series(values)
        if values.dtype.is_integer():
            whole = values.cast(pl.Int64, strict=False)
        else:
            number = values.cast(pl.Float64, strict=False).to_numpy()
            with np.errstate(invalid="ignore"):
                integral = np.isfinite(number) & (np.floor(number) == number)
            # at 2**53 itself a float may be the rounding of its neighbour
            integral &= np.abs(np.where(integral, number, 0.0)) < LARGEST_EXACT_INTEGER
            whole = only_where(integral, pl.Series(np.where(integral, number, 0.0)).cast(pl.Int64))
            if values.dtype == pl.String:  # "9007199254740993" is no float64
                direct = values.cast(pl.Int64, strict=False)
                whole = direct.zip_with(direct.is_not_null(), whole)
        exact = ((whole >= -LARGEST_EXACT_INTEGER) & (whole <= LARGEST_EXACT_INTEGER)).fill_null(False)
        return Parsed(whole, exact.to_numpy(), _EXPECTED)

    def _limits(self, name: str, parsed: pl.Series) -> list[ColumnProblem]:
        return range_problems(name, parsed, self.minimum, self.maximum)

    def _json_reader(self) -> Reader:
        refused = Refusal("type", _EXPECTED)
        minimum, maximum = self.minimum, self.maximum
        too_small, too_large = range_refusals(minimum, maximum)

        def read(value: Any) -> RecordValue | Refusal:
            if isinstance(value, float):
                # at 2**53 itself a float may be the rounding of its neighbour
                if not value.is_integer() or abs(value) >= LARGEST_EXACT_INTEGER:
                    return refused
            elif not isinstance(value, int) or isinstance(value, bool) or abs(value) > LARGEST_EXACT_INTEGER:
                return refused
            number = int(value)
            return too_small if number < minimum else too_large if number > maximum else number

        return read

    @property
    def msgspec_type(self) -> Any:
        """An int within the range; `msgspec` refuses `3.0`, which is fine."""
        return Annotated[int, msgspec.Meta(ge=self.minimum, le=self.maximum)]

    def _json_schema(self) -> JsonSchema:
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}

    @property
    def input_type(self) -> InputType:
        """An "int64", which has no null."""
        return "double" if self.nullable else "int64"

    def sampler(self, name: str, seed: int) -> Sampler:
        """Draw over the range on a linear and on a logarithmic scale, ends, zero and one among them."""
        return self._sample

    def _sample(self, n_rows: int, rng: np.random.Generator) -> pl.Series:
        import numpy as np
        import polars as pl

        numbers = spread(float(self.minimum), float(self.maximum), n_rows, rng)
        # rounding inwards keeps the ends of the range inside it
        return pl.Series(np.clip(np.rint(numbers).astype(np.int64), self.minimum, self.maximum))

    def examples(self, name: str, rng: random.Random) -> list[Any]:
        """Give round numbers, or the ends of a range that has none."""
        ends = [self.minimum, self.maximum]
        return [n for n in ROUND_NUMBERS if self.minimum <= n <= self.maximum] or ends

    @property
    def sql_type(self) -> SqlType:
        """An integer of four bytes where the range fits."""
        fits = max(abs(self.minimum), abs(self.maximum)) <= _LARGEST_INT32
        return SqlType("integer" if fits else "big_integer")

    def compare(self, found: DatabaseColumn) -> DatabaseFit:
        """Take numbers of every kind; those with a fraction are refused row by row."""
        match found.family:
            case "integer":
                return DatabaseFit()
            case "decimal" | "float" if found.fractions:
                note = f"column {found.name}: {found.type_text} may hold fractions; such rows are refused"
                return DatabaseFit(notes=(note,))
            case "decimal" | "float":
                return DatabaseFit()
            case "boolean" if found.type_text.lower().startswith("tinyint"):  # TINYINT(1), which is both
                return DatabaseFit()
            case _:
                return self._does_not_fit(found)

    def database_dtype(self, family: Family, *, loose: bool) -> pl.DataType | None:
        """Give Int64 where the database leaves the type open."""
        import polars as pl

        return pl.Int64() if (loose and family != "text") or family == "boolean" else None

    def _limit_words(self) -> list[str]:
        return [*describe_range(self.minimum, self.maximum), *self._writing_words()]
