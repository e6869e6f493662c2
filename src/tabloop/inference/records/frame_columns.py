"""From the contract's columns to the inputs of the exported graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabloop.contract.columns import InputType
from tabloop.contract.contract import Contract
from tabloop.errors import DataError

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray


def input_types(contract: Contract) -> dict[str, InputType]:
    """Say which inputs the exported graph has, in order, each of shape (N, 1).

    Those are the columns that the model sees, itself or through a formula. Null is NaN in a "double" and the
    empty text in a "string"; "int64" and "bool" have none, so nullable integers and booleans are "double".
    Timestamps are seconds since 1970 UTC.

    Examples
    --------
    >>> contract = Contract.from_dict({
    ...     "columns": {"days": {"type": "integer"}, "age": {"type": "integer", "nullable": True},
    ...                 "country": {"type": "category", "open": True}, "note": {"type": "text"}},
    ...     "target": {"name": "bought"}})
    >>> input_types(contract)
    {'days': 'int64', 'age': 'double', 'country': 'string'}
    """
    types = {
        name: column.input_type
        for name, column in contract.columns.items()
        if column.model or name in contract.formula_columns
    }
    # where the model sees constant formulas alone, some input has to tell the number of rows
    return types or {name: column.input_type for name, column in list(contract.columns.items())[:1]}


def columns_of_frame(contract: Contract, frame: pl.DataFrame) -> dict[str, NDArray[Any]]:
    """Turn typed rows into the inputs of the exported graph.

    Parameters
    ----------
    contract : Contract
        The contract that describes the columns.
    frame : polars.DataFrame with n_rows rows
        The contract's columns in its types, as `tabloop.contract.feature_table.typed_columns` makes them.

    Returns
    -------
    columns : dict of str to ndarray of shape (n_rows,)
        One array for each of `input_types`.

    Raises
    ------
    DataError
        If an integer or boolean is null in a column that is not nullable: its input has no null.

    Examples
    --------
    >>> import polars as pl
    >>> contract = Contract.from_dict({"columns": {"age": {"type": "integer", "nullable": True}},
    ...                                "target": {"name": "bought"}})
    >>> columns_of_frame(contract, pl.DataFrame({"age": [18, None]}))
    {'age': array([18., nan])}
    """
    import polars as pl

    arrays: dict[str, NDArray[Any]] = {}
    for name, kind in input_types(contract).items():
        series = frame[name]
        if kind == "string":
            arrays[name] = series.cast(pl.String).fill_null("").to_numpy().astype(object)
        elif kind == "double":
            arrays[name] = contract.columns[name].formula_numbers(series)
        elif series.null_count():
            raise DataError(f"column {name}: got a null, expected a value: the column is not nullable")
        else:
            arrays[name] = series.cast(pl.Int64 if kind == "int64" else pl.Boolean).to_numpy()
    return arrays
