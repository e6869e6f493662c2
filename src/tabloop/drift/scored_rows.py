"""From rows in plain values, as the prediction log holds them, to what the drift monitor looks at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tabloop.contract.contract import Contract
from tabloop.contract.formula_inputs import input_of_values, numeric_features

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class ScoredRows(NamedTuple):
    """Some rows and what became of them, the oldest first.

    Attributes
    ----------
    features : mapping of str to ndarray of float64, shape (n_rows,)
        Numeric features, raw and engineered, NaN for null.
    categories : mapping of str to sequence of str or None
        Category columns.
    probability : ndarray of float64, shape (n_rows,)
        The model's probability of the positive class.
    label : ndarray of int8, shape (n_rows,)
        The decision, 0 or 1.
    """

    features: Mapping[str, NDArray[np.float64]]
    categories: Mapping[str, Sequence[str | None]]
    probability: NDArray[np.float64]
    label: NDArray[np.int8]

    def cut(self, start: int, stop: int) -> ScoredRows:
        """Take the rows from number `start` to before `stop`."""
        return ScoredRows(
            {name: values[start:stop] for name, values in self.features.items()},
            {name: values[start:stop] for name, values in self.categories.items()},
            self.probability[start:stop],
            self.label[start:stop],
        )


class RowReader:
    """Read logged rows of one contract.

    Parameters
    ----------
    contract : Contract
        The run's.
    omitted : iterable of str
        Columns that the log leaves out or hashes.

    Attributes
    ----------
    not_monitored : tuple of str
        Features that cannot be computed without the omitted columns.

    Examples
    --------
    >>> contract = Contract.from_dict({
    ...     "columns": {"days": {"type": "integer"}, "country": {"type": "category", "open": True}},
    ...     "features": {"weeks": "days / 7"}, "target": {"name": "bought"}})
    >>> rows = RowReader(contract).read({"days": [14], "country": ["DE"]}, [0.7], [1])
    >>> rows.features["weeks"].tolist(), rows.categories
    ([2.0], {'country': ['DE']})
    >>> RowReader(contract, omitted=["days"]).not_monitored
    ('days', 'weeks')
    """

    def __init__(self, contract: Contract, *, omitted: Iterable[str] = ()) -> None:
        left_out = set(omitted)
        engineered = {n for n, formula in contract.features.items() if left_out & set(formula.columns)}
        known = (*contract.numeric_features, *contract.category_features)
        self._contract = contract
        self.not_monitored = tuple(n for n in known if n in left_out or n in engineered)
        self._inputs = {
            name: column
            for name, column in contract.columns.items()
            if name not in left_out
            and (name in contract.formula_columns or (column.model and column.formula_kind != "text"))
        }
        self._categories = [name for name in contract.category_features if name not in left_out]

    def read(
        self, columns: Mapping[str, Sequence[Any]], probability: ArrayLike, label: ArrayLike
    ) -> ScoredRows:
        """Compute the features of some rows.

        Parameters
        ----------
        columns : mapping of str to sequence
            Values of each column: int, float, bool, str or None; timestamps as ISO 8601 text. A column that
            is not there is null.
        probability, label : array-like of shape (n_rows,)
            One for each row.

        Returns
        -------
        scored : ScoredRows
        """
        probability = np.asarray(probability, dtype=np.float64)
        n_rows = len(probability)
        nothing = [None] * n_rows
        prepared = {
            name: input_of_values(column, columns.get(name, nothing)) for name, column in self._inputs.items()
        }
        return ScoredRows(
            numeric_features(self._contract, prepared, n_rows=n_rows, without=self.not_monitored),
            {name: columns.get(name, nothing) for name in self._categories},
            probability,
            np.asarray(label, dtype=np.int8),
        )
