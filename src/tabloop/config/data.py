"""The `data` section: where the rows come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tabloop.contract.columns import Section
from tabloop.contract.target import TargetConfig


class CsvSource(Section):
    """A delimited text file with a header."""

    kind: Literal["csv"]
    path: str = Field(min_length=1, description="The file, relative to the config's folder.")
    separator: str = Field(
        ",",
        min_length=1,
        max_length=1,
        pattern=r"^[\x00-\x7f]$",
        description="What stands between two fields.",
    )
    decimal_comma: bool = Field(False, description="Whether numbers are written `3,5`.")
    strip_spaces: bool = Field(False, description="Whether spaces around a field are left out.")
    encoding: Literal["utf-8", "latin-1", "cp1252", "utf-16"] = Field(
        "utf-8", description="How the text is encoded; a byte order mark is accepted."
    )


class ParquetSource(Section):
    """A Parquet file."""

    kind: Literal["parquet"]
    path: str = Field(min_length=1, description="The file, relative to the config's folder.")


Source = Annotated[CsvSource | ParquetSource, Field(discriminator="kind")]


class DataConfig(Section):
    """Where the rows come from, what is predicted, what is set aside."""

    source: Source = Field(description="Where the rows come from.")
    target: TargetConfig = Field(description="The column to predict.")
    ignore: tuple[str, ...] = Field(
        (), description="Columns of the source that are known and left out, such as ids."
    )
    test_size: float = Field(
        0.2, gt=0, lt=1, description="Fraction of the rows that is kept aside to report on."
    )
    max_quarantine_fraction: float = Field(
        0.01, ge=0, le=1, description="Largest fraction of refused rows with which a run goes on."
    )
