"""The `data` section: where the rows come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictFloat, model_validator

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
        pattern=r"^[\t\x20\x21\x23-\x7e]$",
        description="What stands between two fields.",
    )
    decimal_comma: StrictBool = Field(False, description="Whether numbers are written `3,5`.")
    strip_spaces: StrictBool = Field(False, description="Whether spaces around a field are left out.")
    encoding: Literal["utf-8", "latin-1", "cp1252", "utf-16"] = Field(
        "utf-8", description="How the text is encoded; a byte order mark is accepted."
    )

    @model_validator(mode="after")
    def _comma_once(self) -> CsvSource:
        if self.decimal_comma and self.separator == ",":
            raise ValueError("decimal_comma needs another separator than the comma")
        return self


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
    test_size: StrictFloat = Field(
        0.2, gt=0, lt=1, description="Fraction of the rows that is kept aside to report on."
    )
    max_quarantine_fraction: StrictFloat = Field(
        0.01, ge=0, le=1, description="Largest fraction of refused rows with which a run goes on."
    )
