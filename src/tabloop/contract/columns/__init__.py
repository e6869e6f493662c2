"""The column types of a contract, one file each: everything that depends on what a column's values are.

A type reads a table's column and a JSON value, describes itself as JSON schema, draws samples, says what
formulas and the exported graph see of it, and how databases keep it; `ColumnType` lists the questions. A new
type is a new file here and a member of `Column`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tabloop.contract.columns.boolean import BooleanColumn
from tabloop.contract.columns.category import CategoryColumn
from tabloop.contract.columns.column import (
    ColumnProblem,
    ColumnType,
    InputType,
    Reader,
    RecordValue,
    Refusal,
    listing,
)
from tabloop.contract.columns.database_column import DatabaseColumn, DatabaseFit, Family, SqlType
from tabloop.contract.columns.integer import LARGEST_EXACT_INTEGER, IntegerColumn
from tabloop.contract.columns.number import NumberColumn
from tabloop.contract.columns.ranges import limit_text
from tabloop.contract.columns.text import TextColumn
from tabloop.contract.columns.text_like import TextLikeColumn
from tabloop.contract.columns.timestamp import TimestampColumn, as_utc, read_moment

__all__ = [
    "LARGEST_EXACT_INTEGER",
    "BooleanColumn",
    "CategoryColumn",
    "Column",
    "ColumnProblem",
    "ColumnType",
    "DatabaseColumn",
    "DatabaseFit",
    "Family",
    "InputType",
    "IntegerColumn",
    "NumberColumn",
    "Reader",
    "RecordValue",
    "Refusal",
    "SqlType",
    "TextColumn",
    "TextLikeColumn",
    "TimestampColumn",
    "as_utc",
    "limit_text",
    "listing",
    "read_moment",
]

#: A closed union, told apart by `type`.
Column = Annotated[
    IntegerColumn | NumberColumn | CategoryColumn | BooleanColumn | TextColumn | TimestampColumn,
    Field(discriminator="type"),
]
