"""The latest rows that a run scored, kept raw: whatever is said about drift is computed from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tabloop.drift.reference import MISSING, DriftReference

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class DriftRows:
    """Consecutive scored rows, in order.

    Attributes
    ----------
    numeric : dict of str to ndarray of float64, shape (n_rows,)
        Values by monitored numeric feature, with NaN for null.
    codes : dict of str to ndarray of int32, shape (n_rows,)
        Values by monitored category column: a position in the reference's vocabulary, -1 for null, and from
        the vocabulary's length on for values that no training row had.
    n_known : dict of str to int
        The length of the vocabulary of each category column.
    unseen : dict of str to tuple of str
        By category column the values that stand for those further codes, in the order of the rows.
    probability : ndarray of float64, shape (n_rows,)
        The model's probability of the positive class.
    label : ndarray of int8, shape (n_rows,)
        The decision, 0 or 1.
    """

    numeric: dict[str, NDArray[np.float64]]
    codes: dict[str, NDArray[np.int32]]
    n_known: dict[str, int]
    unseen: dict[str, tuple[str, ...]]
    probability: NDArray[np.float64]
    label: NDArray[np.int8]

    @property
    def n_rows(self) -> int:
        """How many rows these are."""
        return len(self.probability)


class DriftWindow:
    """The latest rows of one run, in ring arrays.

    Parameters
    ----------
    reference : DriftReference
        Names the features and knows the categories.
    capacity_rows : int
        The number of rows that are kept.
    not_monitored : iterable of str
        Features that the rows do not hold as the model saw them: omitted from the log, or hashed.

    Notes
    -----
    What the window holds depends on the rows and their order, never on how they were batched.

    Examples
    --------
    >>> reference = DriftReference(("days",), ("country",), np.array([[1.0]]), np.array([[0]], np.int32),
    ...                            (("DE",),), np.array([0], np.int8), np.array([0.1]), 1)
    >>> window = DriftWindow(reference, 2)
    >>> window.update({"days": np.array([1.0, 2.0, 3.0])}, {"country": ["DE", None, "FR"]},
    ...               np.array([0.1, 0.2, 0.9]), np.array([0, 0, 1]))
    >>> rows = window.latest(2)
    >>> window.rows_seen, rows.numeric["days"].tolist(), rows.codes["country"].tolist(), rows.unseen
    (3, [2.0, 3.0], [-1, 1], {'country': ('FR',)})
    """

    def __init__(
        self, reference: DriftReference, capacity_rows: int, *, not_monitored: Iterable[str] = ()
    ) -> None:
        left_out = set(not_monitored)
        self.capacity_rows = capacity_rows
        self.rows_seen = self._first_row = 0
        self.not_monitored = tuple(
            n for n in (*reference.numeric_features, *reference.category_features) if n in left_out
        )
        self._numeric = {n: np.empty(capacity_rows) for n in reference.numeric_features if n not in left_out}
        self._categories = {
            name: _CodeRing(capacity_rows, words)
            for name, words in zip(reference.category_features, reference.vocabulary, strict=True)
            if name not in left_out
        }
        self._probability = np.empty(capacity_rows)
        self._label = np.empty(capacity_rows, dtype=np.int8)

    @property
    def n_rows(self) -> int:
        """How many rows are held now."""
        return min(self.rows_seen - self._first_row, self.capacity_rows)

    def begin_at(self, row: int) -> None:
        """Say the number of the first row that will come; those before it were seen by somebody else."""
        if self.n_rows:
            raise ValueError(f"{self.n_rows} rows were seen already")
        self.rows_seen = self._first_row = row

    def update(
        self,
        features: Mapping[str, NDArray[np.float64]],
        categories: Mapping[str, Sequence[str | None]],
        probability: NDArray[np.float64],
        label: NDArray[Any],
    ) -> None:
        """Take in scored rows, the oldest first.

        Parameters
        ----------
        features : mapping of str to ndarray of float64, shape (n_rows,)
            The numeric features, raw and engineered, NaN for null; others than the monitored are ignored.
        categories : mapping of str to sequence of str or None
            The category columns.
        probability, label : ndarray of shape (n_rows,)
            What the model said and what was decided.

        Raises
        ------
        KeyError
            If a monitored feature is missing.
        """
        n = len(probability)
        skip = max(0, n - self.capacity_rows)  # a batch larger than the ring overwrites itself
        first = (self.rows_seen + skip) % self.capacity_rows
        until_end = min(n - skip, self.capacity_rows - first)
        for name, ring in self._numeric.items():
            _put(ring, features[name][skip:], first, until_end)
        _put(self._probability, probability[skip:], first, until_end)
        _put(self._label, label[skip:], first, until_end)
        for name, codes in self._categories.items():
            codes.put(categories[name][skip:], first, until_end)
        self.rows_seen += n

    def latest(self, n_rows: int) -> DriftRows:
        """Copy the latest rows, in their order; fewer where fewer are held."""
        return self.rows(self.rows_seen - min(n_rows, self.n_rows), self.rows_seen)

    def rows(self, start: int, stop: int) -> DriftRows:
        """Copy the rows from number `start` to before `stop`, counted since the first that was seen.

        Raises
        ------
        IndexError
            If some of them are no longer, or not yet, held.
        """
        if not self.rows_seen - self.n_rows <= start <= stop <= self.rows_seen:
            raise IndexError(
                f"rows {start} to {stop} are not held, which are {self.rows_seen - self.n_rows} "
                f"to {self.rows_seen}"
            )
        at = np.arange(start, stop) % self.capacity_rows
        categories = {name: ring.rows(at) for name, ring in self._categories.items()}
        return DriftRows(
            numeric={name: ring[at] for name, ring in self._numeric.items()},
            codes={name: codes for name, (codes, _) in categories.items()},
            n_known={name: ring.n_known for name, ring in self._categories.items()},
            unseen={name: unseen for name, (_, unseen) in categories.items()},
            probability=self._probability[at],
            label=self._label[at],
        )


class _CodeRing:
    """One category column as codes; the unseen values it can name stay as many as it can hold."""

    def __init__(self, capacity_rows: int, vocabulary: tuple[str, ...]) -> None:
        self.n_known = len(vocabulary)
        self._code_of: dict[str | None, int] = {word: i for i, word in enumerate(vocabulary)}
        self._code_of[None] = MISSING
        self.codes = np.full(capacity_rows, MISSING, dtype=np.int32)

    def rows(self, at: NDArray[np.int64]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
        """Give the codes of some rows, those of unseen values numbered as they come in these rows."""
        codes = self.codes[at]
        is_new = codes >= self.n_known
        if not is_new.any():
            return codes, ()
        held, first, position = np.unique(codes[is_new], return_index=True, return_inverse=True)
        order = np.argsort(first)
        codes[is_new] = self.n_known + np.argsort(order)[position]
        words = self.unseen
        return codes, tuple(words[code - self.n_known] for code in held[order])

    @property
    def unseen(self) -> tuple[str, ...]:
        return tuple(word for word in list(self._code_of)[self.n_known + 1 :] if word is not None)

    def put(self, values: Sequence[str | None], first: int, until_end: int) -> None:
        code_of = self._code_of
        try:
            codes = [code_of[value] for value in values]
        except KeyError:
            if len(code_of) > self.n_known + 2 * len(self.codes):
                self._forget_unheld()
            for value in values:  # a new one comes after None, hence the minus one
                code_of.setdefault(value, len(code_of) - 1)
            codes = [code_of[value] for value in values]
        _put(self.codes, codes, first, until_end)

    def _forget_unheld(self) -> None:
        """Drop the unseen values that left the ring, and number the rest anew."""
        words = self.unseen
        held, position = np.unique(self.codes[self.codes >= self.n_known], return_inverse=True)
        self.codes[self.codes >= self.n_known] = self.n_known + position
        for word in words:
            del self._code_of[word]
        for code in held:
            self._code_of[words[code - self.n_known]] = len(self._code_of) - 1


def _put(ring: NDArray[Any], values: Any, first: int, until_end: int) -> None:
    ring[first : first + until_end] = values[:until_end]
    if until_end < len(values):
        ring[: len(values) - until_end] = values[until_end:]
