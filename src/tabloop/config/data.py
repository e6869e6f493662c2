"""The `data` section: where the rows come from."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt, field_validator, model_validator

from tabloop.config.path_setting import PathSetting
from tabloop.contract.columns.timestamp import DateOrder
from tabloop.contract.section import Section
from tabloop.contract.target import TargetConfig


class CsvSource(Section):
    """A delimited text file."""

    kind: Literal["csv"]
    path: PathSetting = Field(min_length=1, description="The file, relative to the config's folder.")
    separator: str = Field(
        ",",
        min_length=1,
        max_length=1,
        pattern=r"^[\t\x20\x21\x23-\x7e]$",
        description="What stands between two fields.",
    )
    header: StrictBool = Field(True, description="Whether the first line names the columns.")
    names: tuple[str, ...] = Field(
        (),
        description="The columns' names in order, where no header has them; left out, they are `column_1`, "
        "`column_2` and so on.",
    )
    repeated_names: Literal["refuse", "number"] = Field(
        "refuse",
        description="What becomes of a name that stands in the header again: `refuse` the file, or `number` "
        "the columns from the left: `amount`, `amount_2`, `amount_3`.",
    )
    comment: str | None = Field(
        None,
        pattern=r"^[\x21\x23-\x7e]{1,8}$",
        description="What a line begins with that is no row, such as `#`; left out, every line is a row.",
    )
    decimal_comma: StrictBool = Field(
        False,
        description="Whether the file writes numbers as `3,5`, in all columns that do not say themselves how "
        "(`decimal_mark`, which holds in requests and streams too); between commas they are in quotes.",
    )
    strip_spaces: StrictBool = Field(
        False, description="Whether spaces around a field are left out, in requests and streams too."
    )
    encoding: Literal["utf-8", "latin-1", "cp1252", "utf-16"] = Field(
        "utf-8", description="How the text is encoded; a byte order mark is accepted."
    )

    @model_validator(mode="after")
    def _one_source_of_names(self) -> CsvSource:
        if self.names and self.header:
            raise ValueError("names goes with header: false; a header names the columns itself")
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise ValueError(f"names holds {', '.join(twice)} more than once")
        if self.comment is not None and self.comment.startswith(self.separator):
            raise ValueError("comment begins with the separator")
        return self


class ParquetSource(Section):
    """A Parquet file."""

    kind: Literal["parquet"]
    path: PathSetting = Field(min_length=1, description="The file, relative to the config's folder.")


class SqlSource(Section):
    """A table of a database, or what a query of it gives."""

    kind: Literal["sql"]
    url_env: str | None = Field(
        None, description="The environment variable that holds the database's URL, as SQLAlchemy writes it."
    )
    path: PathSetting | None = Field(
        None, min_length=1, description="An SQLite or DuckDB file instead, relative to the config's folder."
    )
    table: str | None = Field(None, min_length=1, description="The table or view; or give `query`.")
    table_schema: str | None = Field(
        None, min_length=1, description="The schema that holds the table; left out, the connection's own."
    )
    query: str | None = Field(
        None, min_length=1, description="A SELECT whose rows are read; parameters stand in it as `:name`."
    )
    parameters: dict[str, StrictBool | StrictInt | StrictFloat | str | None] = Field(
        default_factory=dict, description="What the query's parameters are bound to."
    )
    key: tuple[str, ...] = Field(
        (),
        description="Columns that tell the rows apart: they order the reading and stand in the quarantine.",
    )
    allow_rounding: StrictBool = Field(
        False,
        description="Whether numbers that the database holds wider than float64 may be rounded to the "
        "nearest float64.",
    )
    batch_rows: StrictInt = Field(
        50_000, ge=1, le=1_000_000, description="Rows fetched at a time; what is in memory."
    )
    statement_timeout_s: StrictFloat | None = Field(
        None, gt=0, description="Most seconds that one statement may run; null leaves it to the database."
    )

    @field_validator("url_env")
    @classmethod
    def _url_env_is_a_name(cls, url_env: str | None) -> str | None:
        return require_variable_name(url_env)

    @model_validator(mode="after")
    def _one_of_each(self) -> SqlSource:
        if (self.url_env is None) == (self.path is None):
            raise ValueError("give either url_env or path: one of them says where the database is")
        if (self.table is None) == (self.query is None):
            raise ValueError("give either table or query: one of them says which rows")
        if self.query is not None and self.table_schema is not None:
            raise ValueError("table_schema goes with table; a query names its schemas itself")
        if self.table is not None and self.parameters:
            raise ValueError("parameters go with query")
        return self


def require_variable_name(name: str | None) -> str | None:
    """Raise `ValueError` unless this names an environment variable; what was given is not repeated.

    Somebody may have put the URL itself here, with its password.
    """
    if name is not None and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is None:
        raise ValueError(
            "expected the name of an environment variable, such as DATABASE_URL, that holds the URL; "
            "the URL itself never stands in a config"
        )
    return name


Source = Annotated[CsvSource | ParquetSource | SqlSource, Field(discriminator="kind")]


class HashSplit(Section):
    """A seeded hash of the features draws the test part; folds are dealt at random."""

    kind: Literal["hash"] = "hash"


class GroupSplit(Section):
    """Rows of one group stay together: in the training or the test part, and in one fold."""

    kind: Literal["group"]
    column: str = Field(
        min_length=1,
        description="The column that tells the groups apart, such as the customer: texts or whole numbers. "
        "It need not stand in the contract; a row without a value is a group of its own.",
    )


class TimeSplit(Section):
    """The latest rows are the test part; each fold is fitted on earlier rows than it is scored on."""

    kind: Literal["time"]
    column: str = Field(
        min_length=1,
        description="The column that says when a row was. Outside the contract it holds moments; in the "
        "contract it may also be a number. A row without a value is refused.",
    )
    order: DateOrder = Field(
        "iso",
        description="How the texts of a column outside the contract are written: `iso`, `day_first` or "
        "`month_first`.",
    )


SplitKind = Annotated[HashSplit | GroupSplit | TimeSplit, Field(discriminator="kind")]


class ReadingLimits(Section):
    """What is too much: nobody's file can fill the memory or the disk."""

    line_characters: StrictInt = Field(
        4_194_304,
        ge=1024,
        description="Longest line of a text file, and so its longest field; a longer one is refused.",
    )
    columns: StrictInt = Field(10_000, ge=1, description="Most columns of a file; one with more is not read.")
    quarantine_rows: StrictInt = Field(
        100_000, ge=1, description="Refused rows that are written down; those beyond are counted by reason."
    )


class DataConfig(Section):
    """Where the rows come from, what is predicted, what is set aside."""

    source: Source = Field(description="Where the rows come from.")
    target: TargetConfig = Field(description="The column to predict.")
    ignore: tuple[str, ...] = Field(
        (), description="Columns that are known and left out, such as ids, in requests and streams too."
    )
    test_size: StrictFloat = Field(
        0.2, gt=0, lt=1, description="Fraction of the rows that is kept aside to report on."
    )
    split: SplitKind = Field(
        default_factory=HashSplit, description="Which rows are kept aside, and how folds are made."
    )
    weight: str | None = Field(
        None,
        min_length=1,
        description="A column of row weights, not negative, used in fitting and in the figures. It need not "
        "stand in the contract; docs/splits.md says which figures count rows all the same.",
    )
    max_quarantine_fraction: StrictFloat = Field(
        0.01, ge=0, le=1, description="Largest fraction of refused rows with which a run goes on."
    )
    limits: ReadingLimits = Field(default_factory=ReadingLimits, description="What is too much to be read.")

    @property
    def split_column(self) -> str | None:
        """The column that the split goes by; None where it is a hash of the features."""
        return None if isinstance(self.split, HashSplit) else self.split.column

    @property
    def mark_columns(self) -> tuple[str, ...]:
        """The columns that say something of a row beside its features, in the contract or not."""
        return tuple(name for name in (self.split_column, self.weight) if name is not None)
