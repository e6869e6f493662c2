"""Rows of a database: a table or a query, in one snapshot and bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import ArgumentError

from tabloop.config.data import SqlSource
from tabloop.contract.columns import DatabaseColumn
from tabloop.contract.contract import Contract
from tabloop.data.row_source import Chunk
from tabloop.data.sql.address import DatabaseAddress, locate_database
from tabloop.data.sql.content_hash import ContentHash
from tabloop.data.sql.types import check_column, check_target, frame_dtype
from tabloop.data.sql.values import RawColumn, convert
from tabloop.errors import ConfigError, DataError, nearest_name

#: An infinite moment is read as one that no contract accepts.
_BEYOND_US = 9_000_000_000_000_000_000


class Reader(Protocol):
    """One snapshot of a database, by SQLAlchemy or by a library of its own."""

    dialect: str

    def describe_table(self, table: str, schema: str | None) -> list[DatabaseColumn]:
        """List the columns of a table or view."""
        ...

    def describe_query(self, query: sa.Subquery) -> list[DatabaseColumn]:
        """List the columns that a query gives."""
        ...

    def notes(self, table: str | None, schema: str | None) -> list[str]:
        """Say what the database does not promise."""
        ...

    def batches(self, statement: sa.Select[Any]) -> Iterator[list[RawColumn]]:
        """Yield the rows of a SELECT, column by column."""
        ...

    def close(self) -> None:
        """Give the snapshot up."""
        ...


class SqlRows:
    """An opened table or query; its types are checked, its snapshot is taken.

    Parameters
    ----------
    source : SqlSource
        The config's `data.source`.
    folder : pathlib.Path
        What a `path` in it is relative to.
    contract : Contract
        The contract that says which columns are read and what they have to be.
    with_target : bool or None, default=True
        Whether the target is read too; None reads it where it is.
    extra : sequence of str, default=()
        Columns that are read besides, such as the keys of a sink.
    use_arrow : bool, default=True
        Whether to read through Arrow where a driver for it is installed; the rows are the same.

    Raises
    ------
    ConfigError
        If the variable with the URL is not set, or the query's parameters are not those given.
    DatabaseError
        If the database cannot be reached or refuses.
    DataError
        If columns are missing, or their types would change a value; all of them in one message.

    Notes
    -----
    Only the contract's columns, the target and the keys are selected. A connection that is lost ends the
    reading: a second connection would see another snapshot, and the rows of two snapshots never stood in
    the table together.
    """

    def __init__(
        self,
        source: SqlSource,
        folder: Path,
        contract: Contract,
        *,
        with_target: bool | None = True,
        extra: Sequence[str] = (),
        use_arrow: bool = True,
    ) -> None:
        self._source = source
        address = locate_database(source.url_env, source.path, folder, setting="data.source")
        self.file = address.file
        self.identity = _identity(source, address)
        self.where = f"{address.name}, {_what(source)}"
        query = None if source.query is None else bind_query(source.query, source.parameters)
        self._reader = _open_reader(address, source, use_arrow=use_arrow)
        try:
            if query is not None:
                found = self._reader.describe_query(query)
            else:
                found = self._reader.describe_table(str(source.table), source.table_schema)
            names = list(dict.fromkeys([*source.key, *extra]))
            self._columns = self._choose(contract, found, names, with_target=with_target)
            self.notes += self._reader.notes(source.table, source.table_schema)
        except BaseException:
            self._reader.close()
            raise
        dialect = self._reader.dialect
        self._dtypes = [frame_dtype(contract.columns.get(c.name), c, dialect=dialect) for c in self._columns]
        hashed = {*contract.columns, contract.target.name}
        self._hashed = [place for place, c in enumerate(self._columns) if c.name in hashed]
        self.columns = [column.name for column in self._columns]
        self.extra = tuple(name for name in names if name not in hashed)
        self.dtypes: list[pl.DataType] | None = list(self._dtypes)
        self.fraction_read = None
        self._hash = ContentHash([self.columns[place] for place in self._hashed])
        self._statement = self._select(query)

    def _choose(
        self, contract: Contract, found: list[DatabaseColumn], keys: list[str], *, with_target: bool | None
    ) -> list[DatabaseColumn]:
        """Take what is read of what is there; raise unless the types can hold what the contract asks for."""
        by_name = {column.name: column for column in found}
        target = contract.target.name
        if with_target is None:
            with_target = target in by_name
        wanted = [*contract.columns, *([target] if with_target else [])]
        wanted += [key for key in keys if key not in wanted]
        present = [column.name for column in found]
        unread = [name for name in present if name not in wanted]
        problems = []
        for name in wanted:
            if name not in by_name:
                near = nearest_name(name, unread)
                hint = "; a key names it" if name in keys else ""
                hint = f"; is it the unknown column {near!r}, renamed?" if near else hint
                problems.append(f"column {name}: missing{hint}")
            elif present.count(name) > 1:
                problems.append(f"column {name}: stands there {present.count(name)} times")
        self.notes: list[str] = []
        for name in wanted:
            if (column := by_name.get(name)) is None:
                continue
            if name in contract.columns:
                problem, notes = check_column(
                    contract.columns[name], column, allow_rounding=self._source.allow_rounding
                )
                self.notes += notes
            elif name == target:
                problem = check_target(column)
            else:
                problem = _check_key(column)
            if problem is not None:
                problems.append(problem)
        if problems:
            raise DataError(f"{self.where}: the columns are not the contract's\n  " + "\n  ".join(problems))
        return [by_name[name] for name in wanted]

    def _select(self, query: sa.Subquery | None) -> sa.Select[Any]:
        if query is None:
            table: Any = sa.table(str(self._source.table), schema=self._source.table_schema)
        else:
            table = query
        casts = self._reader.dialect in ("postgresql", "duckdb")
        selected = [
            (
                _cast(column, dtype, self._reader.dialect)
                if casts or _is_bit(column)
                else sa.column(column.name)
            ).label(column.name)
            for column, dtype in zip(self._columns, self._dtypes, strict=True)
        ]
        statement = sa.select(*selected).select_from(table)
        return statement.order_by(*(sa.column(key) for key in self._source.key))

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows: in the order of `source.key`, or in the database's."""
        n_rows = 0
        for values in self._reader.batches(self._statement):
            converted = [
                convert(name, column, dtype)
                for name, column, dtype in zip(self.columns, values, self._dtypes, strict=True)
            ]
            self._hash.add([converted[place][1] for place in self._hashed])
            frame = pl.DataFrame([series for series, _ in converted])
            yield Chunk(frame, np.arange(n_rows + 1, n_rows + frame.height + 1))
            n_rows += frame.height

    @property
    def sha256(self) -> str:
        """Hash of the contract's columns and the target in all rows; see `tabloop.data.sql.content_hash`."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """Let the snapshot and the connection go."""
        self._reader.close()


def bind_query(query: str, parameters: dict[str, Any]) -> sa.Subquery:
    """Make a query with its parameters something that can be selected from.

    Raises
    ------
    ConfigError
        If a parameter is missing or does not stand in the query.
    """
    # a line break, so that a comment at the end does not swallow the closing parenthesis
    text = sa.text(query.strip().rstrip(";") + "\n")
    asked = set(text.compile().params)
    problems = [f"{name} stands in the query and is not given" for name in sorted(asked - set(parameters))]
    problems += [f"{name} does not stand in the query" for name in sorted(set(parameters) - asked)]
    if problems:
        raise ConfigError(
            "data.source.parameters: "
            + "; ".join(problems)
            + "; a colon that begins no parameter is written \\:"
        )
    try:
        # untyped, so that the database takes a text for a date where it compares with one
        bound = text.bindparams(
            *(sa.bindparam(name, value, type_=sa.types.NULLTYPE) for name, value in parameters.items())
        )
    except ArgumentError as error:
        raise ConfigError(f"data.source.parameters: {error}") from error
    return bound.columns().subquery("tabloop_query")


def _open_reader(address: DatabaseAddress, source: SqlSource, *, use_arrow: bool) -> Reader:
    if address.dialect == "duckdb":
        from tabloop.data.sql.duckdb_reader import DuckdbReader

        return DuckdbReader(address, source)
    from tabloop.data.sql.reader import SqlReader

    return SqlReader(address, source, use_arrow=use_arrow)


def _cast(column: DatabaseColumn, dtype: pl.DataType, dialect: str) -> sa.ColumnElement[Any]:
    """Have the server put a value into the type it is read in: exact, and the same through every driver."""
    value: sa.ColumnElement[Any] = sa.column(column.name)
    if _is_bit(column):  # drivers give it as bytes or as digits
        kind = mysql.INTEGER(unsigned=True) if dialect in ("mysql", "mariadb") else sa.Integer()
        bit = sa.cast(value, kind)
        return bit if dtype != pl.Boolean or dialect != "postgresql" else sa.cast(bit, sa.Boolean)
    match dtype:
        case pl.Float64():
            return sa.cast(value, sa.Double)
        case pl.Int64():
            return sa.cast(value, sa.BigInteger)
        case pl.String():
            return sa.cast(value, sa.Text)
        case pl.Datetime() if dialect == "postgresql":
            since = sa.cast(sa.extract("epoch", value) * sa.literal_column("1000000"), sa.BigInteger)
            return sa.case(
                (value == sa.literal_column("'infinity'"), sa.literal_column(str(_BEYOND_US))),
                (value == sa.literal_column("'-infinity'"), sa.literal_column(str(-_BEYOND_US))),
                else_=since,
            )
        case pl.Datetime():
            return sa.cast(value, sa.TIMESTAMP(timezone=column.zoned))
        case _:
            return value


def _is_bit(column: DatabaseColumn) -> bool:
    return column.family == "boolean" and column.type_text.lower().startswith("bit")


def _check_key(column: DatabaseColumn) -> str | None:
    if column.family in ("integer", "text", "decimal", "moment", "date", "dynamic"):
        return None
    return f"column {column.name}: {column.type_text} is no key; expected whole numbers, texts or moments"


def _what(source: SqlSource) -> str:
    if source.query is not None:
        return "the query"
    return f"table {source.table_schema}.{source.table}" if source.table_schema else f"table {source.table}"


def _identity(source: SqlSource, address: DatabaseAddress) -> dict[str, str]:
    if source.query is not None:
        return {"database": address.name, "query_sha256": hashlib.sha256(source.query.encode()).hexdigest()}
    table = f"{source.table_schema}.{source.table}" if source.table_schema else str(source.table)
    return {"database": address.name, "table": table}
