"""What formulas, drift and models see of raw values, prepared here for all of them.

Training reads a table, a request holds records, the monitor reads logged rows. All three come through here,
so that none of them can see another number than the others: see `evaluate_table` for the form.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tabloop.contract.columns import Column, RecordValue
from tabloop.contract.contract import Contract
from tabloop.contract.formulas.evaluation import evaluate_feature

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray


def input_of_values(column: Column, values: Sequence[RecordValue]) -> NDArray[Any]:
    """Prepare the values of one column, as records and the prediction log hold them.

    Parameters
    ----------
    column : Column
        The column that the values belong to.
    values : sequence of length n_rows of int, float, bool, str or None
        A timestamp is its ISO 8601 text. A text elsewhere where a number is expected is null: it stands where
        the column was hashed before it was logged.

    Returns
    -------
    prepared : ndarray of shape (n_rows,)
        float64 with NaN for null; of a text column booleans, true where the text is null.

    Examples
    --------
    >>> from tabloop.contract.columns import IntegerColumn, TextColumn
    >>> input_of_values(IntegerColumn(type="integer"), [3, None])
    array([ 3., nan])
    >>> input_of_values(TextColumn(type="text"), ["a", None])
    array([False,  True])
    """
    if column.formula_kind == "text":
        return np.array([value is None for value in values], dtype=np.bool_)
    if str in set(map(type, values)):
        values = list(map(column.formula_value, values))
    return np.array(values, dtype=np.float64)  # this turns None into NaN


def inputs_of_table(contract: Contract, typed: pl.DataFrame) -> dict[str, NDArray[Any]]:
    """Prepare the columns of a table.

    Parameters
    ----------
    contract : Contract
        The contract that describes the columns.
    typed : polars.DataFrame with n_rows rows
        The contract's columns in its types.

    Returns
    -------
    prepared : dict of str to ndarray of shape (n_rows,)
        For each column what `input_of_values` gives for the same values.
    """
    return {
        name: typed[name].is_null().to_numpy()
        if column.formula_kind == "text"
        else column.formula_numbers(typed[name])
        for name, column in contract.columns.items()
    }


def numeric_features(
    contract: Contract,
    prepared: Mapping[str, NDArray[Any]],
    *,
    n_rows: int,
    without: Collection[str] = (),
) -> dict[str, NDArray[np.float64]]:
    """Compute the numeric features of prepared columns.

    Parameters
    ----------
    contract : Contract
        Says which columns and formulas.
    prepared : mapping of str to ndarray of shape (n_rows,)
        The columns that the features need, prepared by this module.
    n_rows : int
        The number of rows.
    without : collection of str
        Features that are not wanted.

    Returns
    -------
    features : dict of str to ndarray of float64, shape (n_rows,)
        `contract.numeric_features` in order, NaN for null.
    """
    return {
        name: evaluate_feature(contract.features[name], prepared, n_rows=n_rows)
        if name in contract.features
        else prepared[name]
        for name in contract.numeric_features
        if name not in without
    }
