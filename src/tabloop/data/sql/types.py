"""What a database calls its types, and whether they can hold what the contract asks for."""

from __future__ import annotations

import re
from itertools import pairwise

import polars as pl

from tabloop.contract.columns import Column, DatabaseColumn, Family

#: Decimal numbers of so many digits come back unchanged from a float64 (DBL_DIG of C).
EXACT_DIGITS = 15

_FAMILIES: dict[str, Family] = {
    **dict.fromkeys(
        ("tinyint", "smallint", "mediumint", "int", "integer", "bigint", "hugeint", "int1", "int2", "int4",
         "int8", "utinyint", "usmallint", "uinteger", "ubigint", "uhugeint", "serial", "bigserial", "year"),
        "integer",
    ),
    **dict.fromkeys(("numeric", "decimal", "dec", "fixed", "number"), "decimal"),
    **dict.fromkeys(
        ("float", "float4", "float8", "real", "double", "double precision", "binary_float", "binary_double"),
        "float",
    ),
    **dict.fromkeys(("boolean", "bool"), "boolean"),
    **dict.fromkeys(
        ("text", "varchar", "char", "character", "character varying", "bpchar", "nvarchar", "nchar",
         "varchar2", "nvarchar2", "clob", "nclob", "string", "tinytext", "mediumtext", "longtext", "enum",
         "uuid", "citext", "name", "long varchar", "native character"),
        "text",
    ),
    **dict.fromkeys(
        ("timestamp", "timestamptz", "datetime", "datetime2", "datetimeoffset", "timestamp_s",
         "timestamp_ms", "timestamp_us", "timestamp_ns", "timestamp with time zone",
         "timestamp without time zone", "timestamp with local time zone"),
        "moment",
    ),
    "date": "date",
}  # fmt: skip

_WIDE = {"bigint", "int8", "bigserial"}
_BEYOND_64_BITS = {"hugeint", "ubigint", "uhugeint"}
_ZONED = {"timestamptz", "timestamp with time zone", "datetimeoffset", "timestamp with local time zone"}

#: What MySQL writes behind a type, none of which changes what a value is once it has been read as text.
_ATTRIBUTES = {"unsigned", "zerofill", "collate", "charset", "ascii", "unicode", "binary"}

#: What calls a float of four bytes so; `double` has eight everywhere.
_SINGLE = {
    "postgresql": ("real", "float4"),
    "mysql": ("float",),
    "mariadb": ("float",),
    "duckdb": ("real", "float", "float4"),
}

#: Digits, and digits after the point, of a decimal type that says neither; elsewhere without limit.
_BARE_DECIMAL = {"mysql": (10, 0), "mariadb": (10, 0), "duckdb": (18, 3)}


def read_type(name: str, type_text: str, *, dialect: str, nullable: bool | None = None) -> DatabaseColumn:
    """Understand a type as a database writes it.

    Parameters
    ----------
    name : str
        The column.
    type_text : str
        Such as `numeric(38,10)`, `BIGINT(20) UNSIGNED`, `timestamp with time zone`.
    dialect : str
        The database: `postgresql`, `mysql`, `mariadb`, `sqlite`, `duckdb` or another of SQLAlchemy's.
    nullable : bool, optional
        Whether the database allows nulls, where it says so.

    Examples
    --------
    >>> read_type("x", "numeric(38,10)", dialect="postgresql").wide
    True
    >>> read_type("x", "NUMERIC(10, 2)", dialect="mysql").wide
    False
    >>> read_type("x", "timestamp(3) with time zone", dialect="postgresql").zoned
    True
    >>> read_type("x", "VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_bin", dialect="mysql").family
    'text'
    >>> read_type("x", "bit(1)", dialect="mariadb").family
    'boolean'
    >>> read_type("x", "integer[]", dialect="postgresql").family
    'other'
    """
    if not type_text.strip():
        return DatabaseColumn(name, type_text, "dynamic", nullable=nullable)
    inside = re.search(r"\(.*\)", type_text)
    digits = [int(text) for text in re.findall(r"\d+", inside.group())] if inside else []
    words = re.sub(r"\(.*\)", " ", type_text.lower()).split()
    cut = [i for i, word in enumerate(words) if i and word in _ATTRIBUTES]
    cut += [i for i, two in enumerate(pairwise(words)) if two == ("character", "set")]
    known = " ".join(words[: min([*cut, len(words)])]).removeprefix("national ")
    family: Family = _FAMILIES.get(known, "other")
    wide = fractions = False
    mysql = dialect in ("mysql", "mariadb")
    if known in _BEYOND_64_BITS:
        family = "decimal"
        wide = True
    elif family == "integer":
        wide = known in _WIDE
        if mysql and known == "tinyint" and digits == [1]:
            family = "boolean"
    elif known == "bit" and digits in ([], [1]) and dialect != "duckdb":
        family = "boolean"
    elif family == "decimal":
        precision, scale = (*digits, 0)[:2] if digits else _BARE_DECIMAL.get(dialect, (None, None))
        wide = precision is None or precision > EXACT_DIGITS
        fractions = scale is None or scale > 0
    elif family == "float":
        fractions = True
    if dialect == "sqlite":
        # a declared type says how SQLite prefers to keep a value: in eight bytes at most, moments as texts
        wide = False
        family = "text" if family in ("moment", "date") else family
    return DatabaseColumn(
        name,
        type_text,
        family,
        wide=wide,
        fractions=fractions,
        single=known in _SINGLE.get(dialect, ()),
        zoned=known in _ZONED or (mysql and known == "timestamp"),
        nullable=nullable,
    )


def check_column(
    column: Column, found: DatabaseColumn, *, allow_rounding: bool
) -> tuple[str | None, list[str]]:
    """Compare a database's type with what the contract asks for.

    Parameters
    ----------
    column : Column
        The contract's column.
    found : DatabaseColumn
        The database's.
    allow_rounding : bool
        Whether numbers may be rounded to the nearest float64.

    Returns
    -------
    problem : str or None
        Why it must not be read: a value would be changed, or can never be valid.
    notes : list of str
        What the type permits and the contract refuses row by row, and how values are understood.

    Examples
    --------
    >>> from tabloop.contract.columns import NumberColumn
    >>> check_column(NumberColumn(type="number"), read_type("x", "numeric", dialect="postgresql"),
    ...              allow_rounding=False)[0]
    'column x: numeric may hold more digits than float64 keeps, expected number; ...'
    """
    if found.family == "dynamic":
        return None, []
    problem, fit_notes, rounds = column.compare(found)
    notes = list(fit_notes)
    if rounds and allow_rounding:
        notes.append(f"column {found.name}: {found.type_text} is rounded to the nearest float64")
    elif rounds:
        problem = (
            f"column {found.name}: {found.type_text} may hold more digits than float64 keeps, expected "
            f"{column.type}; " + _rounding_advice(found)
        )
    if found.nullable and not column.nullable:
        notes.append(f"column {found.name}: may be null in the database; such rows are refused")
    return problem, notes


def _rounding_advice(found: DatabaseColumn) -> str:
    exact = (
        "make it type: integer, or give it a minimum and maximum within 2**53"
        if found.family == "integer" or not found.fractions
        else "cast it in a query"
    )
    return f"{exact}, or set data.source.allow_rounding: true"


def check_target(found: DatabaseColumn) -> str | None:
    """Say why a column cannot be a target of two values, if it cannot."""
    if found.family in ("other", "moment", "date"):
        return f"column {found.name}: got {found.type_text}, expected the two values of a target"
    return None


def frame_dtype(column: Column | None, found: DatabaseColumn, *, dialect: str) -> pl.DataType:
    """Give the Polars type in which a column is read.

    Parameters
    ----------
    column : Column or None
        The contract's column; None for the target and for keys.
    found : DatabaseColumn
        The database's.
    dialect : str
        The database. In SQLite each value has its own type, so the contract decides.
    """
    loose = dialect == "sqlite" or found.family == "dynamic"
    chosen = None if column is None else column.database_dtype(found.family, loose=loose)
    if chosen is not None:
        return chosen
    match found.family:
        case "float":
            return pl.Float64()
        case "integer":
            return pl.Int64()
        case "boolean":
            return pl.Boolean()
        case "moment" | "date":
            return pl.Datetime("us", "UTC")
        case _:
            return pl.String()
