"""True or false."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from tabloop.contract.columns.column import (
    ColumnType,
    InputType,
    JsonSchema,
    Parsed,
    Reader,
    Refusal,
    Sampler,
    listing,
)
from tabloop.contract.columns.database_column import DatabaseColumn, DatabaseFit, Family, SqlType
from tabloop.contract.formulas.parser import ColumnKind

if TYPE_CHECKING:
    import random

    import numpy as np
    import polars as pl


class BooleanColumn(ColumnType):
    """True or false; which texts mean which is compared without case. JSON has its own two words."""

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

    @property
    def dtype(self) -> pl.DataType:
        """Boolean."""
        import polars as pl

        return pl.Boolean()

    def _accepts(self, dtype: pl.DataType) -> bool:
        import polars as pl

        return dtype == pl.Boolean or dtype.is_numeric()

    def _parse(self, values: pl.Series) -> Parsed:
        import polars as pl

        expected = f"{listing(self.true_values)} for true, {listing(self.false_values)} for false"
        if values.dtype == pl.Boolean:
            return Parsed(values, values.is_not_null().to_numpy(), expected)
        if values.dtype == pl.String:
            lower = values.str.to_lowercase()
            is_true = lower.is_in([v.lower() for v in self.true_values]).fill_null(False)
            is_false = lower.is_in([v.lower() for v in self.false_values]).fill_null(False)
        else:
            expected = "0 or 1"
            is_true, is_false = (values == 1).fill_null(False), (values == 0).fill_null(False)
        return Parsed(is_true, (is_true | is_false).to_numpy(), expected)

    def _json_reader(self) -> Reader:
        refused = Refusal("type", "true or false")
        return lambda value: value if isinstance(value, bool) else refused

    @property
    def msgspec_type(self) -> Any:
        """A bool."""
        return bool

    def _json_schema(self) -> JsonSchema:
        return {"type": "boolean"}

    @property
    def input_type(self) -> InputType:
        """A "bool", which has no null."""
        return "double" if self.nullable else "bool"

    def sampler(self, name: str, seed: int) -> Sampler:
        """Draw either with equal chance."""
        return self._sample

    def _sample(self, n_rows: int, rng: np.random.Generator) -> pl.Series:
        import polars as pl

        return pl.Series(rng.random(n_rows) < 0.5)

    def examples(self, name: str, rng: random.Random) -> list[Any]:
        """Give both values."""
        return [True, False]

    @property
    def sql_type(self) -> SqlType:
        """A boolean, or what the database has for one."""
        return SqlType("boolean")

    def compare(self, found: DatabaseColumn) -> DatabaseFit:
        """Take truth values, texts for them, and the numbers 0 and 1."""
        match found.family:
            case "boolean" | "text":
                return DatabaseFit()
            case "integer" | "decimal" | "float":
                said = f"{found.type_text} may hold more than 0 and 1; such rows are refused"
                return DatabaseFit(notes=(f"column {found.name}: {said}",))
            case _:
                return self._does_not_fit(found)

    def database_dtype(self, family: Family, *, loose: bool) -> pl.DataType | None:
        """Give numbers where the database keeps numbers, or leaves the type open."""
        import polars as pl

        if loose:
            return pl.Int64()
        return pl.Float64() if family == "decimal" else None
