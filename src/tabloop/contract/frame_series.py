"""A column of a frame as Polars has it, whatever kind the frame is: the one way in for pandas' many kinds."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl


def series_of(frame: Any, name: str) -> pl.Series:
    """Take a column out of a Polars or pandas frame; what pandas calls missing is null.

    Plain numbers, nullable types, categories, Arrow-backed columns, moments with and without a zone, and
    columns of objects are read alike: `pd.NA`, `NaT`, `NaN` and None are null.

    Parameters
    ----------
    frame : polars.DataFrame or pandas.DataFrame with n_rows rows
        Holds the column.
    name : str
        The column.

    Returns
    -------
    series : polars.Series of n_rows values

    Raises
    ------
    TypeError, polars.exceptions.PolarsError
        If the values have no common type; the message says which they have.

    Examples
    --------
    >>> import pandas as pd
    >>> days, country = pd.array([1, pd.NA], dtype="Int64"), pd.Categorical(["DE", None])
    >>> frame = pd.DataFrame({"days": days, "country": country})
    >>> series_of(frame, "days").to_list(), series_of(frame, "country").to_list()
    ([1, None], ['DE', None])
    """
    if isinstance(frame, pl.DataFrame):
        return frame[name]
    values = frame[name]
    dtype, is_missing = values.dtype, values.isna().to_numpy()
    if isinstance(dtype, np.dtype) and dtype.kind in "iufbM":
        array = values.to_numpy()
        if dtype.kind != "f":
            return pl.Series(name, array)
        return pl.Series(name, array if dtype.itemsize <= 8 else array.astype(np.float64)).fill_nan(None)
    if dtype.kind == "M" and getattr(dtype, "tz", None) is not None:
        moments = pl.Series(name, values.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())
        return moments.dt.replace_time_zone("UTC")
    plain = values.astype(object).to_numpy()
    kept = [None if missing else value for value, missing in zip(plain, is_missing, strict=True)]
    kinds = sorted({type(value).__name__ for value in kept if value is not None})
    if "str" in kinds and len(kinds) > 1:
        raise TypeError(f"got values of types {', '.join(kinds)}, expected one type")
    return pl.Series(name, kept)
