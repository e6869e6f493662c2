"""Categories as whole numbers, for models that split them into sets or compare them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

# A category's share of positives is smoothed by this many rows of the overall share
_MORE_ROWS = 10


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


class OrderedCategories(CategoryCodes):
    """Give each category of a column a code that rises with the share of positives among its rows.

    Of all splits of the categories into two sets, the best for two classes is one between neighbours in this
    order [1]_: a tree finds it by comparing codes.

    Parameters
    ----------
    min_rows : int, default=1
        Categories with fewer training rows are rare.

    Attributes
    ----------
    categories_ : list of list of (str or None)
        As in `CategoryCodes`.
    codes_ : list of ndarray of int64, shape (n_categories + 1,)
        The code of each of them, and last that of all others: the rare ones and those never seen.

    Notes
    -----
    Shares are drawn towards the overall one as if each category had ten more rows of it: a share of few rows
    is chance. Where there is no rare category, those never seen stand at the overall share. Categories of
    equal shares are in the order of their names.

    References
    ----------
    .. [1] L. Breiman, J. Friedman, R. Olshen, C. Stone, "Classification and Regression Trees", Wadsworth,
       1984, section 4.2.2.

    Examples
    --------
    >>> seen = pl.DataFrame({"plan": ["pro", "pro", "free", "free", "team", None, None]})
    >>> codes = OrderedCategories(min_rows=2).fit(seen, np.array([1, 1, 1, 0, 0, 0, 0]))
    >>> codes.categories_, codes.codes_
    ([['free', 'pro', None]], [array([2, 3, 0, 1])])
    >>> codes.transform(pl.DataFrame({"plan": ["free", "pro", None, "team", "new"]})).ravel().tolist()
    [2.0, 3.0, 0.0, 1.0, 1.0]
    """

    def __init__(self, min_rows: int = 1) -> None:
        super().__init__(min_rows)

    def fit(self, X: pl.DataFrame, y: Any = None) -> Self:
        """Order the categories of each column of a Polars frame by the targets, 0 and 1, of its rows."""
        super().fit(X)
        positive = np.asarray(y, dtype=np.float64)
        self.codes_ = []
        for column, kept in zip(super().transform(X).T, self.categories_, strict=True):
            place, n_places = column.astype(np.int64), len(kept) + 1
            rows = np.bincount(place, minlength=n_places)
            positives = np.bincount(place, positive, minlength=n_places)
            share = (positives + _MORE_ROWS * positive.mean()) / (rows + _MORE_ROWS)
            self.codes_.append(np.argsort(np.argsort(share, kind="stable")))
        return self

    def transform(self, X: pl.DataFrame) -> NDArray[np.float64]:
        """Give the codes as float64, shape (n_rows, n_columns); there is no NaN among them."""
        places = super().transform(X)
        for column, codes in zip(places.T, self.codes_, strict=True):
            column[:] = codes[column.astype(np.int64)]
        return places
