"""The tables that tabloop makes: their columns, from the contract."""

from __future__ import annotations

from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from tabloop.contract.columns import BooleanColumn, Column, NumberColumn
from tabloop.contract.contract import Contract
from tabloop.contract.target import TargetConfig
from tabloop.errors import DataError

#: Longer texts get a type without a limit.
_LONGEST_VARCHAR = 4000
_LONGEST_KEY = 255

DatabaseType = sa.types.TypeEngine[Any]


def column_type(column: Column, *, dialect: str, is_key: bool = False) -> DatabaseType:
    """Choose the type in which a database keeps a contract's column, with nothing lost.

    Parameters
    ----------
    column : Column
        The contract's column.
    dialect : str
        The database; `mariadb` and `mysql` differ in how texts are compared.
    is_key : bool, default=False
        MySQL makes no key of a text without a limit.
    """
    kind, length = column.sql_type
    match kind:
        case "integer":
            return sa.Integer()
        case "big_integer":
            return sa.BigInteger()
        case "double":
            return sa.Double()
        case "boolean":
            return sa.Boolean()
        case "moment":
            return moment_type(dialect)
        case "text":
            if length is not None and is_key and dialect in _MYSQL:
                length = min(length, _LONGEST_KEY)
            is_short = length is not None and length <= _LONGEST_VARCHAR
            return text_type(length if is_short else None, dialect=dialect)


_MYSQL = ("mysql", "mariadb")


def text_type(length: int | None, *, dialect: str) -> DatabaseType:
    """Choose a type for texts that are equal only when every character is.

    MySQL's usual collations hold `a` and `A` equal, its binary one `a` and `a ` still.
    """
    collation = {"mariadb": "utf8mb4_nopad_bin", "mysql": "utf8mb4_0900_bin"}.get(dialect)
    if collation is not None:
        if length is None:
            return mysql.LONGTEXT(charset="utf8mb4", collation=collation)
        return mysql.VARCHAR(length, charset="utf8mb4", collation=collation)
    return sa.Text() if length is None else sa.String(length)


def moment_type(dialect: str) -> DatabaseType:
    """Choose a type for moments to the microsecond; SQLite keeps them as ISO 8601 texts."""
    if dialect in _MYSQL:
        return mysql.DATETIME(fsp=6)
    return sa.Text() if dialect == "sqlite" else sa.TIMESTAMP(timezone=True)


def key_type(name: str, contract: Contract, dtype: pl.DataType | None, *, dialect: str) -> DatabaseType:
    """Choose a type for a key: the contract's where it is a column of it, the input's otherwise.

    Raises
    ------
    DataError
        If the values are no key: floating numbers and truth values.
    """
    if name in contract.columns:
        column = contract.columns[name]
        if isinstance(column, NumberColumn | BooleanColumn):
            raise DataError(
                f"column {name}: is of type {column.type}; expected a key of whole numbers or texts"
            )
        return column_type(column, dialect=dialect, is_key=True)
    if dtype is None or dtype == pl.String:
        return text_type(_LONGEST_KEY if dialect in _MYSQL else None, dialect=dialect)
    if dtype.is_integer():
        return sa.BigInteger()
    if isinstance(dtype, pl.Datetime):
        return moment_type(dialect)
    raise DataError(f"column {name}: got type {dtype}, expected a key of whole numbers or texts")


def target_type(target: TargetConfig, *, dialect: str) -> DatabaseType:
    """Choose a type for the target, so that its two values are kept as the config writes them."""
    values = (target.positive, target.negative)
    if any(isinstance(value, str) for value in values):
        longest = max(len(target.positive_text), len(target.negative_text))
        return text_type(longest, dialect=dialect)
    if any(isinstance(value, bool) for value in values):
        return sa.Boolean()
    if any(isinstance(value, float) and not value.is_integer() for value in values):
        return sa.Double()
    return sa.SmallInteger() if max(abs(int(v)) for v in values if v is not None) < 2**15 else sa.BigInteger()


def scores_table(
    contract: Contract,
    name: str,
    schema: str | None,
    key: dict[str, pl.DataType | None],
    *,
    dialect: str,
) -> sa.Table:
    """Describe the table of a sink: the key, the probability, the decision, the run and the time.

    Parameters
    ----------
    contract : Contract
        Names the answers.
    name, schema : str
        The table; None for the connection's own schema.
    key : dict of str to polars.DataType
        The key's columns, and their types in the input.
    dialect : str
        The database.
    """
    columns: list[sa.Column[Any]] = [
        sa.Column(
            each,
            key_type(each, contract, dtype, dialect=dialect),
            primary_key=True,
            autoincrement=False,
            nullable=False,
        )
        for each, dtype in key.items()
    ]
    return sa.Table(
        name,
        sa.MetaData(),
        *columns,
        sa.Column(contract.probability_name, sa.Double(), nullable=False),
        sa.Column(contract.decision_name, sa.SmallInteger(), nullable=False),
        sa.Column("run_id", text_type(64, dialect=dialect), nullable=False),
        sa.Column("scored_at", moment_type(dialect), nullable=False),
        schema=schema,
    )


def rows_table(
    contract: Contract,
    name: str,
    schema: str | None,
    key: dict[str, pl.DataType | None],
    *,
    with_target: bool,
    dialect: str,
) -> sa.Table:
    """Describe a table of checked rows: the key where there is one, the contract's columns, the target."""
    columns: list[sa.Column[Any]] = []
    for each, dtype in key.items():
        if each not in contract.columns:
            kind = key_type(each, contract, dtype, dialect=dialect)
            columns.append(sa.Column(each, kind, primary_key=True, autoincrement=False, nullable=False))
    for each, column in contract.columns.items():
        is_key = each in key
        columns.append(
            sa.Column(
                each,
                key_type(each, contract, None, dialect=dialect)
                if is_key
                else column_type(column, dialect=dialect),
                primary_key=is_key,
                autoincrement=False,
                nullable=column.nullable and not is_key,
            )
        )
    if with_target:
        target = contract.target
        columns.append(sa.Column(target.name, target_type(target, dialect=dialect), nullable=False))
    return sa.Table(name, sa.MetaData(), *columns, schema=schema)
