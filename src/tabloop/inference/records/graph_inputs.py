"""From records to the inputs of the exported graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tabloop.contract.contract import Contract
from tabloop.contract.formula_inputs import input_of_values
from tabloop.inference.records.frame_columns import input_types
from tabloop.inference.records.record_type import Record, RecordField

_DTYPES = {
    "string": np.dtype(object),
    "double": np.dtype(np.float64),
    "int64": np.dtype(np.int64),
    "bool": np.dtype(np.bool_),
}


class GraphInputs:
    """Makes the arrays that a contract's graph takes.

    Parameters
    ----------
    fields : mapping of str to RecordField
        The contract's columns by name.
    contract : Contract
        The contract.
    """

    def __init__(self, fields: Mapping[str, RecordField], contract: Contract) -> None:
        self._inputs = [(fields[name], kind) for name, kind in input_types(contract).items()]
        self._cells = [(field.name, field.get, _DTYPES[kind], field.column) for field, kind in self._inputs]

    def columns(self, records: Sequence[Record]) -> dict[str, NDArray[Any]]:
        """Give each input as an array of shape (n_rows,)."""
        columns: dict[str, NDArray[Any]] = {}
        for field, kind in self._inputs:
            values = field.of(records)
            if kind == "string":
                texts = [text or "" for text in values] if field.column.nullable else values
                columns[field.name] = np.array(texts, dtype=object)
            elif kind == "double":
                columns[field.name] = input_of_values(field.column, values)
            else:
                columns[field.name] = np.array(values, dtype=_DTYPES[kind])
        return columns

    def feed(self, records: Sequence[Record]) -> dict[str, NDArray[Any]]:
        """Give each input as the session takes it, of shape (n_rows, 1)."""
        if len(records) != 1:
            return {name: values.reshape(-1, 1) for name, values in self.columns(records).items()}
        feed: dict[str, NDArray[Any]] = {}
        for name, get, dtype, column in self._cells:
            cell = np.empty((1, 1), dtype)
            value = get(records[0])
            if value is None:
                value = "" if dtype.kind == "O" else np.nan
            elif dtype.kind == "f" and type(value) is str:  # a timestamp
                value = column.formula_value(value)
            cell[0, 0] = value
            feed[name] = cell
        return feed
