"""Categories as whole numbers, for models that split them natively."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted


class CategoryCodes(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Give each category of a column a code; rare ones and those never seen share the last.

    Parameters
    ----------
    min_rows : int, default=1
        Categories with fewer training rows are rare.
    max_codes : int or None, default=None
        At most so many codes a column: the commonest categories are kept.

    Attributes
    ----------
    categories_ : list of list of (str or None)
        The categories of each column in the order of their codes. A missing category is one like any other,
        None, and the last of them.

    Examples
    --------
    >>> seen = pl.DataFrame({"plan": ["pro", "pro", "free", "free", "team", None, None]})
    >>> codes = CategoryCodes(min_rows=2).fit(seen)
    >>> codes.categories_
    [['free', 'pro', None]]
    >>> codes.transform(pl.DataFrame({"plan": ["free", "pro", None, "team", "new"]})).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0, 3.0]
    """

    def __init__(self, min_rows: int = 1, max_codes: int | None = None) -> None:
        self.min_rows = min_rows
        self.max_codes = max_codes

    def fit(self, X: pl.DataFrame, y: Any = None) -> Self:
        """Count the categories of each column of a Polars frame."""
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        self.n_features_in_ = X.width
        self.categories_ = [self._kept(X[name]) for name in X.columns]
        return self

    def _kept(self, column: pl.Series) -> list[str | None]:
        counts = column.value_counts(name="rows").filter(pl.col("rows") >= self.min_rows)
        counts = counts.sort("rows", column.name, descending=[True, False], nulls_last=True)
        found = counts[column.name].to_list()
        if self.max_codes is not None:
            found = found[: self.max_codes - 1]
        return sorted(found, key=lambda category: (category is None, category))

    def transform(self, X: pl.DataFrame) -> NDArray[np.float64]:
        """Give the codes as float64, shape (n_rows, n_columns); there is no NaN among them."""
        check_is_fitted(self)
        columns = [
            X[name].replace_strict(
                pl.Series(kept, dtype=pl.String),
                pl.Series(range(len(kept)), dtype=pl.Float64),
                default=float(len(kept)),
                return_dtype=pl.Float64,
            )
            if kept
            else pl.zeros(X.height, pl.Float64, eager=True)
            for name, kept in zip(self.feature_names_in_, self.categories_, strict=True)
        ]
        return np.column_stack([column.to_numpy() for column in columns])
