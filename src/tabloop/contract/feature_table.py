"""From a table of raw columns to the numbers and categories that a model sees."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from tabloop.contract.contract import Contract
from tabloop.contract.formula_inputs import inputs_of_table, numeric_features
from tabloop.contract.frame_series import series_of
from tabloop.errors import DataError


def feature_frame(contract: Contract, frame: Any) -> pl.DataFrame:
    """Compute what a model sees of every row.

    The rows are typed but not judged: ranges, nulls and row rules are the business of `check_table`.

    Parameters
    ----------
    contract : Contract
        Says which columns and formulas.
    frame : polars.DataFrame or pandas.DataFrame with n_rows rows
        Holds the contract's columns; further columns are ignored.

    Returns
    -------
    features : polars.DataFrame with n_rows rows
        `contract.numeric_features` as Float64 with NaN where a value is missing or a formula has no
        finite result, then `contract.category_features` as String with null where missing.

    Raises
    ------
    DataError
        If a column is missing or holds something of another type.

    Examples
    --------
    >>> contract = Contract.from_dict({"columns": {"days": {"type": "integer"}},
    ...                                "features": {"weeks": "days / 7"}, "target": {"name": "bought"}})
    >>> feature_frame(contract, pl.DataFrame({"days": [7, 14]})).rows()
    [(7.0, 1.0), (14.0, 2.0)]
    """
    typed = typed_columns(contract, frame)
    prepared = inputs_of_table(contract, typed)
    numeric = numeric_features(contract, prepared, n_rows=typed.height)
    features = {name: pl.Series(name, values) for name, values in numeric.items()}
    for name in contract.category_features:
        features[name] = typed[name]
    return pl.DataFrame(features)


def typed_columns(contract: Contract, frame: Any) -> pl.DataFrame:
    """Take the contract's columns out of a Polars or pandas frame, in the contract's types.

    What `check_table` accepted is typed already, for its own contract.

    Raises
    ------
    DataError
        If a column is missing or holds a value of another type; all columns in one message.
    """
    problems = []
    columns = {}
    for name, column in contract.columns.items():
        if name not in frame.columns:
            problems.append(f"column {name}: missing")
            continue
        try:
            series = stripped(contract, series_of(frame, name))
        except (TypeError, pl.exceptions.PolarsError) as error:
            problems.append(f"column {name}: {' '.join(str(error).split())}")
            continue
        if not column.accepts_dtype(series.dtype):
            problems.append(f"column {name}: got {series.dtype}, expected {column.type}")
            continue
        columns[name], found = column.read_series(name, series)
        problems += [
            f"column {name}, row {int(np.argmax(p.rows))}: "
            f"got {series[int(np.argmax(p.rows))]!r}, expected {p.expected}"
            for p in found
            if p.code == "type"
        ]
    if problems:
        raise DataError("the table does not fit the contract:\n  " + "\n  ".join(problems))
    return pl.DataFrame(columns)


def stripped(contract: Contract, values: pl.Series) -> pl.Series:
    """Leave out the spaces around texts where the contract says so."""
    return values.str.strip_chars() if contract.strip_spaces and values.dtype == pl.String else values
