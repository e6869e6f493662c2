"""Floating-point numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec
from pydantic import Field, StrictFloat, model_validator

from tabloop.contract.columns.column import (
    ColumnProblem,
    JsonSchema,
    Parsed,
    Reader,
    RecordValue,
    Refusal,
    Sampler,
)
from tabloop.contract.columns.database_column import DatabaseColumn, DatabaseFit, Family, SqlType
from tabloop.contract.columns.integer import LARGEST_EXACT_INTEGER
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

_UNBOUNDED = 1e6
_EXPECTED = "a finite number"


class NumberColumn(WrittenNumber):
    """Finite float64 numbers."""

    formula_kind: ClassVar[ColumnKind] = "number"

    type: Literal["number"]
    minimum: StrictFloat | None = Field(None, description="Smallest possible value, a physical limit.")
    maximum: StrictFloat | None = Field(None, description="Largest possible value, a physical limit.")

    @model_validator(mode="after")
    def _range_in_order(self) -> NumberColumn:
        require_range(self.minimum, self.maximum)
        return self

    @property
    def dtype(self) -> pl.DataType:
        """Float64."""
        import polars as pl

        return pl.Float64()

    def _accepts(self, dtype: pl.DataType) -> bool:
        return dtype.is_numeric()

    def _parse(self, values: pl.Series) -> Parsed:
        import polars as pl

        number = self.plain_series(values).cast(pl.Float64, strict=False)
        return Parsed(number, number.is_finite().fill_null(False).to_numpy(), _EXPECTED)

    def _limits(self, name: str, parsed: pl.Series) -> list[ColumnProblem]:
        return range_problems(name, parsed, self.minimum, self.maximum)

    def _json_reader(self) -> Reader:
        refused = Refusal("type", _EXPECTED)
        minimum = -math.inf if self.minimum is None else self.minimum
        maximum = math.inf if self.maximum is None else self.maximum
        too_small, too_large = range_refusals(minimum, maximum)

        def read(value: Any) -> RecordValue | Refusal:
            if not isinstance(value, int | float) or isinstance(value, bool):
                return refused
            try:
                number = float(value)
            except OverflowError:
                return refused
            if not math.isfinite(number):
                return refused
            return too_small if number < minimum else too_large if number > maximum else number

        return read

    @property
    def msgspec_type(self) -> Any:
        """A float within the range; JSON integers are taken too."""
        return Annotated[float, msgspec.Meta(ge=self.minimum, le=self.maximum)]

    def _json_schema(self) -> JsonSchema:
        limits = {"minimum": self.minimum, "maximum": self.maximum}
        return {"type": "number", **{key: limit for key, limit in limits.items() if limit is not None}}

    def sampled_range(self) -> tuple[float, float]:
        """Give the range in which samples and probes are sought, finite where the column has no limit."""
        low = self.minimum if self.minimum is not None else min(-_UNBOUNDED, self.maximum or 0.0)
        return low, self.maximum if self.maximum is not None else max(_UNBOUNDED, low)

    def sampler(self, name: str, seed: int) -> Sampler:
        """Draw over the range on a linear and on a logarithmic scale, ends, zero and one among them."""
        return self._sample

    def _sample(self, n_rows: int, rng: np.random.Generator) -> pl.Series:
        import polars as pl

        return pl.Series(spread(*self.sampled_range(), n_rows, rng))

    def examples(self, name: str, rng: random.Random) -> list[Any]:
        """Give round numbers, or the ends of a range that has none."""
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        round_numbers = [float(n) for n in ROUND_NUMBERS if low <= n <= high]
        return round_numbers or [end for end in (low, high) if math.isfinite(end)]

    @property
    def sql_type(self) -> SqlType:
        """A float of eight bytes."""
        return SqlType("double")

    def compare(self, found: DatabaseColumn) -> DatabaseFit:
        """Take numbers of every kind; some may have to be rounded."""
        match found.family:
            case "float":
                return DatabaseFit()
            case "integer" | "decimal":
                confined = (
                    not found.fractions
                    and self.minimum is not None
                    and self.maximum is not None
                    and max(abs(self.minimum), abs(self.maximum)) <= LARGEST_EXACT_INTEGER
                )
                return DatabaseFit(rounds=found.wide and not confined)
            case "boolean" if found.type_text.lower().startswith("tinyint"):
                return DatabaseFit()
            case _:
                return self._does_not_fit(found)

    def database_dtype(self, family: Family, *, loose: bool) -> pl.DataType | None:
        """Give Float64, whatever the database holds; texts stay texts."""
        return None if family == "text" else self.dtype

    def _limit_words(self) -> list[str]:
        return [*describe_range(self.minimum, self.maximum), *self._writing_words()]
