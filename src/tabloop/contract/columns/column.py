"""What every column type can be asked, at whatever door its values come in.

A type is one class in a file of its own. Its methods that need NumPy or Polars import them when they are
called: a serving process reads JSON only and loads neither for it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TypeAlias

from pydantic import Field, StrictBool

from tabloop.contract.columns.database_column import DatabaseColumn, DatabaseFit, Family, SqlType
from tabloop.contract.formulas.parser import ColumnKind
from tabloop.contract.section import Section

if TYPE_CHECKING:
    import random

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

#: A checked value of a record; a timestamp is its text.
#: JSON Schema is open: any keyword may stand in it.
JsonSchema: TypeAlias = dict[str, Any]
RecordValue: TypeAlias = int | float | str | bool | None

#: The type of an input of the exported graph. Null is NaN in a "double" and the empty text in a "string".
InputType = Literal["int64", "double", "bool", "string"]


class Refusal(NamedTuple):
    """Why a value does not fit its column."""

    code: str
    expected: str


#: Gives a JSON value as the record holds it, or the refusal.
Reader: TypeAlias = Callable[[Any], RecordValue | Refusal]

#: Draws so many values with a generator.
Sampler: TypeAlias = "Callable[[int, np.random.Generator], pl.Series]"


@dataclass(frozen=True)
class ColumnProblem:
    """Rows of one column that break one of its clauses.

    Attributes
    ----------
    column : str
        The column's name; for a row rule, the rule's text.
    code : str
        `type`, `null`, `range`, `category`, `pattern`, `length`, `text` or `rule`.
    expected : str
        The values that the contract asks for, in words.
    rows : ndarray of bool, shape (n_rows,)
        True where the clause is broken.
    """

    column: str
    code: str
    expected: str
    rows: NDArray[np.bool_]


class Parsed(NamedTuple):
    """A table's column in its contract type.

    Attributes
    ----------
    values : polars.Series of length n_rows
        Anything where not readable.
    readable : ndarray of bool, shape (n_rows,)
        True where a value could be read.
    expected : str
        What the unreadable values should have been, in words.
    """

    values: pl.Series
    readable: NDArray[np.bool_]
    expected: str


class ColumnType(Section):
    """The settings that every column has, and the questions that every type answers."""

    #: What formulas may do with the column.
    formula_kind: ClassVar[ColumnKind]
    #: Whether JSON holds its values as strings, so that the empty text and `null_values` mean null there.
    is_json_string: ClassVar[bool] = False

    nullable: StrictBool = Field(False, description="Whether a value may be missing.")
    null_values: tuple[str, ...] = Field(
        (), description="Texts that mean null, besides the empty field. By default none: `NA` is Namibia."
    )
    description: str = Field("", description="What the column means; shown in the model card and OpenAPI.")
    # left out while it is true, so that contracts without it keep their hash
    model: StrictBool = Field(
        True,
        description="Whether the model sees the column itself; if not, it is checked and logged, and the "
        "model sees what formulas make of it.",
        exclude_if=lambda is_seen: is_seen,
    )

    # tables

    @property
    @abstractmethod
    def dtype(self) -> pl.DataType:
        """The Polars type in which a checked column is kept."""

    @abstractmethod
    def _accepts(self, dtype: pl.DataType) -> bool:
        """Tell whether a typed column that is no text can hold the values."""

    @abstractmethod
    def _parse(self, values: pl.Series) -> Parsed:
        """Read a table's column, null already where a value is missing."""

    def _limits(self, name: str, parsed: pl.Series) -> list[ColumnProblem]:
        """List the values that are readable and yet not allowed."""
        return []

    def accepts_dtype(self, dtype: pl.DataType) -> bool:
        """Tell whether a table column of this type can hold the contract's values at all.

        Text can hold everything; a floating column can hold whole numbers (tables with missing values often
        do); a number is no truth value except as 0 and 1.
        """
        import polars as pl

        return dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null) or self._accepts(dtype)

    def read_series(self, name: str, values: pl.Series) -> tuple[pl.Series, list[ColumnProblem]]:
        """Parse one column of a table without asking whether its values are within limits.

        Parameters
        ----------
        name : str
            The column's name, for the problems.
        values : polars.Series of length n_rows
            As read: text from a file without types, or typed as `accepts_dtype` allows.

        Returns
        -------
        parsed : polars.Series of length n_rows
            The values in the type `dtype`; null where one is missing or not readable.
        problems : list of ColumnProblem
            Codes `type` and `null`.
        """
        import polars as pl

        if values.dtype in (pl.Categorical, pl.Enum, pl.Null):
            values = values.cast(pl.String)
        missing = values.is_null()
        if values.dtype == pl.String:
            missing |= (values.is_in(["", *self.null_values])).fill_null(True)
        elif values.dtype.is_float():
            # pandas writes a missing number as NaN; in a typed column it can mean nothing else
            missing |= values.is_nan().fill_null(True)
        is_missing = missing.to_numpy()
        parsed, readable, expected = self._parse(only_where(~is_missing, values))
        problems = []
        unreadable = ~readable & ~is_missing
        if unreadable.any():
            problems.append(ColumnProblem(name, "type", expected, unreadable))
        if not self.nullable and is_missing.any():
            problems.append(ColumnProblem(name, "null", "a value: the column is not nullable", is_missing))
        return only_where(readable & ~is_missing, parsed).alias(name), problems

    def check_series(self, name: str, values: pl.Series) -> tuple[pl.Series, list[ColumnProblem]]:
        """Parse and check one column of a table: `read_series`, and the limits of its values.

        A value breaks at most one of type, null and the rest.
        """
        parsed, problems = self.read_series(name, values)
        return parsed, problems + self._limits(name, parsed)

    # JSON

    @abstractmethod
    def _json_reader(self) -> Reader:
        """Give what reads a JSON value that is not null."""

    @property
    @abstractmethod
    def msgspec_type(self) -> Any:
        """The type by which `msgspec` refuses what the column refuses, as far as it can tell exactly."""

    @abstractmethod
    def _json_schema(self) -> JsonSchema:
        """Describe a value that is not null."""

    def json_reader(self) -> Reader:
        """Give what turns a JSON value into the record's, null included."""
        read = self._json_reader()
        null = None if self.nullable else Refusal("null", "a value: the column is not nullable")
        if not self.is_json_string:
            return lambda value: null if value is None else read(value)
        null_texts = frozenset(("", *self.null_values))

        def read_text(value: Any) -> RecordValue | Refusal:
            if value is None or (isinstance(value, str) and value in null_texts):
                return null
            return read(value)

        return read_text

    def json_schema(self) -> JsonSchema:
        """Describe the values as JSON schema; null is among them where the column is nullable."""
        schema = self._json_schema()
        if self.nullable:
            schema["type"] = [schema["type"], "null"]
            if "enum" in schema:
                schema["enum"] = [*schema["enum"], None]
        if self.description:
            schema["description"] = self.description
        return schema

    # formulas and the graph

    @property
    def input_type(self) -> InputType:
        """The type of the graph's input; an integer or boolean that may be null is a "double"."""
        return "double"

    def formula_value(self, value: RecordValue) -> RecordValue:
        """Give what formulas see of a record's value.

        Where a number is expected a text is null: it stands where a number was hashed before it was logged.
        """
        return None if isinstance(value, str) else value

    def formula_numbers(self, typed: pl.Series) -> NDArray[np.float64]:
        """Give what formulas see of a typed column that is no text: float64, NaN for null."""
        import numpy as np
        import polars as pl

        return np.asarray(typed.cast(pl.Float64).fill_null(float("nan")).to_numpy(), dtype=np.float64)

    # samples

    @abstractmethod
    def sampler(self, name: str, seed: int) -> Sampler:
        """Give what draws values that the column accepts, none of them null, of `dtype`.

        Parameters
        ----------
        name : str
            The column's name, for the message.
        seed : int
            Equal seeds choose equal texts to draw from.

        Raises
        ------
        ContractError
            If no text can be found that matches a pattern.
        """

    @abstractmethod
    def examples(self, name: str, rng: random.Random) -> list[Any]:
        """Give a few values, as JSON holds them, that are easy to read; see `sampler` for what is raised."""

    # databases

    @property
    @abstractmethod
    def sql_type(self) -> SqlType:
        """The type in which a database keeps the column with nothing lost."""

    @abstractmethod
    def compare(self, found: DatabaseColumn) -> DatabaseFit:
        """Compare a database's column, whose type is known, with what the contract asks for."""

    def database_dtype(self, family: Family, *, loose: bool) -> pl.DataType | None:
        """Give the Polars type in which to read a database's column; None for the family's own.

        Parameters
        ----------
        family : str
            What kind of values the database says it holds.
        loose : bool
            Whether each value has a type of its own.
        """
        return None

    # people

    def _limit_words(self) -> list[str]:
        return []

    def describe_limits(self) -> str:
        """Say in a few words which values are allowed."""
        null = [f"null: {', '.join(self.null_values)}"] if self.null_values else []
        return "; ".join([*self._limit_words(), *null])

    def _does_not_fit(self, found: DatabaseColumn) -> DatabaseFit:
        kind = getattr(self, "type", "")
        return DatabaseFit(f"column {found.name}: got {found.type_text}, expected {kind}; cast it in a query")


def only_where(mask: NDArray[np.bool_], values: pl.Series) -> pl.Series:
    """Null the values outside a mask."""
    import polars as pl

    if mask.all():
        return values
    return pl.DataFrame({"v": values, "m": mask}).select(pl.when("m").then("v"))["v"]


def listing(names: Sequence[str], most: int = 8) -> str:
    """Join names for a message, cut where there are many.

    Examples
    --------
    >>> listing(["a", "b", "c"], most=2)
    'a, b, ... (3 in all)'
    """
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])}, ... ({len(names)} in all)"
