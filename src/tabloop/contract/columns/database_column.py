"""What a database says about one of its columns, in words that all databases share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Family = Literal["integer", "decimal", "float", "boolean", "text", "moment", "date", "other", "dynamic"]


@dataclass(frozen=True)
class DatabaseColumn:
    """One column as the database describes it.

    Attributes
    ----------
    name : str
        The column.
    type_text : str
        Its type as the database writes it; empty where the database does not say.
    family : str
        What kind of values that is: `integer`, `decimal`, `float`, `boolean`, `text`, `moment` (a date with
        its time), `date`, `other`, or `dynamic` where every value has a type of its own.
    wide : bool
        Whether its numbers may have more digits than float64 keeps.
    fractions : bool
        Whether its numbers may have a fraction.
    single : bool
        Whether its numbers are of four bytes, which round a float64.
    zoned : bool
        Whether its moments are moments whatever the time zone.
    nullable : bool or None
        None where the database does not say.
    """

    name: str
    type_text: str
    family: Family
    wide: bool = False
    fractions: bool = False
    single: bool = False
    zoned: bool = False
    nullable: bool | None = None


class DatabaseFit(NamedTuple):
    """Whether a database's column can hold what the contract asks for.

    Attributes
    ----------
    problem : str or None
        Why it must not be read: a value can never be valid.
    notes : tuple of str
        What the type permits and the contract refuses row by row, and how values are understood.
    rounds : bool
        Whether values may be changed to the nearest float64.
    """

    problem: str | None = None
    notes: tuple[str, ...] = ()
    rounds: bool = False


class SqlType(NamedTuple):
    """The type in which a database keeps a column, in words that every database has a type for.

    Attributes
    ----------
    kind : {"integer", "big_integer", "double", "boolean", "moment", "text"}
        The kind of the values.
    max_length : int or None
        The length of the longest text, in characters.
    """

    kind: Literal["integer", "big_integer", "double", "boolean", "moment", "text"]
    max_length: int | None = None
