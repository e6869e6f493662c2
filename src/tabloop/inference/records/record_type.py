"""The class of a contract's records, generated for `msgspec`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec

from tabloop.contract.columns import Column
from tabloop.contract.contract import Contract

#: One valid row: an instance of the class that `make_record_type` generates.
Record: TypeAlias = msgspec.Struct


@dataclass(frozen=True)
class RecordField:
    """A column and where a record keeps it.

    Attributes
    ----------
    name : str
        The column's name, under which the value is written.
    attribute : str
        The record's attribute.
    column : Column
        The column that the value belongs to.
    get : callable
        Reads the value from a record.
    """

    name: str
    attribute: str
    column: Column
    get: Callable[[Record], Any]

    def of(self, records: Sequence[Record]) -> list[Any]:
        """Read the values of many records."""
        return list(map(self.get, records))


def record_fields(contract: Contract) -> list[RecordField]:
    """Lay out a contract's columns, in order, as the attributes `c0`, `c1`, ...: any name will do."""
    return [
        RecordField(name, f"c{place}", column, attrgetter(f"c{place}"))
        for place, (name, column) in enumerate(contract.columns.items())
    ]


def make_record_type(fields: Sequence[RecordField]) -> type[Record]:
    """Generate the class of a contract's records.

    Parameters
    ----------
    fields : sequence of RecordField
        The fields that `record_fields` made.

    Returns
    -------
    record_type : type of msgspec.Struct
        Immutable and closed. Its types alone are not the contract: they refuse `3.0` for an integer and the
        empty text for null, which are fine, and know nothing of patterns and rules.
    """
    return msgspec.defstruct(
        "Record",
        [
            # a nullable field may be left out, and then has to be told from one that is null
            (f.attribute, f.column.msgspec_type | None | msgspec.UnsetType, msgspec.UNSET)
            if f.column.nullable
            else (f.attribute, f.column.msgspec_type)
            for f in fields
        ],
        rename={f.attribute: f.name for f in fields},
        kw_only=True,  # or a nullable column could not stand before one that is not
        frozen=True,
        forbid_unknown_fields=True,
        gc=False,
    )
