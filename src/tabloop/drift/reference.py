"""The training rows that a run keeps, for later windows to be compared with row by row."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from tabloop.contract.contract import Contract
from tabloop.errors import ArtifactError, TooFewRowsError

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

FORMAT_VERSION = 1

#: The code of a missing category.
MISSING = -1


@dataclass(frozen=True)
class DriftReference:
    """Training rows as the model saw them, with what it said of them out-of-fold.

    Attributes
    ----------
    numeric_features, category_features : tuple of str
        Raw and engineered numbers, and category columns, in the contract's order.
    numeric : ndarray of float64, shape (n_rows, n_numeric)
        NaN for null.
    codes : ndarray of int32, shape (n_rows, n_category)
        Positions in the vocabulary, -1 for null.
    vocabulary : tuple of tuple of str
        Per category column the categories of *all* training rows, sorted.
    y_true : ndarray of int8, shape (n_rows,)
        0 or 1.
    y_proba : ndarray of float64, shape (n_rows,)
        Out-of-fold.
    training_rows : int
        How many rows these were drawn from; `n_rows` where all were kept.
    """

    numeric_features: tuple[str, ...]
    category_features: tuple[str, ...]
    numeric: NDArray[np.float64]
    codes: NDArray[np.int32]
    vocabulary: tuple[tuple[str, ...], ...]
    y_true: NDArray[np.int8]
    y_proba: NDArray[np.float64]
    training_rows: int

    @property
    def n_rows(self) -> int:
        """The rows that were kept."""
        return len(self.y_true)

    def take(self, rows: NDArray[Any]) -> DriftReference:
        """Keep some of the rows, by position or mask; the vocabulary stays."""
        return DriftReference(
            self.numeric_features,
            self.category_features,
            self.numeric[rows],
            self.codes[rows],
            self.vocabulary,
            self.y_true[rows],
            self.y_proba[rows],
            self.training_rows,
        )

    def save(self, file: BinaryIO) -> None:
        """Write the reference as `drift_reference.npz` holds it, without a single pickled object."""
        arrays: dict[str, NDArray[Any]] = {
            "format_version": np.array(FORMAT_VERSION),
            "numeric_features": _texts(self.numeric_features),
            "category_features": _texts(self.category_features),
            "numeric": self.numeric,
            "codes": self.codes,
            "y_true": self.y_true,
            "y_proba": self.y_proba,
            "training_rows": np.array(self.training_rows),
        }
        arrays |= {f"vocabulary_{i}": _texts(words) for i, words in enumerate(self.vocabulary)}
        np.savez_compressed(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, content: bytes) -> DriftReference:
        """Read what `save` wrote; nothing is unpickled.

        Raises
        ------
        ArtifactError
            If the content is no reference, is of another format version, or its parts do not fit together.

        Examples
        --------
        >>> reference = DriftReference(("days",), (), np.array([[1.0], [np.nan]]), np.zeros((2, 0), np.int32),
        ...                            (), np.array([0, 1], np.int8), np.array([0.1, 0.9]), 2)
        >>> file = io.BytesIO()
        >>> reference.save(file)
        >>> DriftReference.load(file.getvalue()).numeric.tolist()
        [[1.0], [nan]]
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as held:
                version = held["format_version"].item()
                if version != FORMAT_VERSION:
                    raise ArtifactError(
                        f"drift_reference.npz: got format_version {version}, expected {FORMAT_VERSION}; "
                        "train a new run with `tabloop train`"
                    )
                names = tuple(held["category_features"].tolist())
                reference = cls(
                    numeric_features=tuple(held["numeric_features"].tolist()),
                    category_features=names,
                    numeric=np.asarray(held["numeric"], dtype=np.float64),
                    codes=np.asarray(held["codes"], dtype=np.int32),
                    vocabulary=tuple(tuple(held[f"vocabulary_{i}"].tolist()) for i in range(len(names))),
                    y_true=np.asarray(held["y_true"], dtype=np.int8),
                    y_proba=np.asarray(held["y_proba"], dtype=np.float64),
                    training_rows=int(held["training_rows"]),
                )
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ArtifactError(
                f"drift_reference.npz: cannot be read ({error}); train a new run with `tabloop train`"
            ) from error
        problems = reference._problems()
        if problems:
            raise ArtifactError("drift_reference.npz: its parts do not fit together: " + "; ".join(problems))
        return reference

    def _problems(self) -> list[str]:
        n = self.n_rows
        expected = {
            "numeric": (self.numeric.shape, (n, len(self.numeric_features))),
            "codes": (self.codes.shape, (n, len(self.category_features))),
            "y_proba": (self.y_proba.shape, (n,)),
        }
        problems = [
            f"{k}: got shape {got}, expected {want}" for k, (got, want) in expected.items() if got != want
        ]
        if not problems:
            for name, column, words in zip(
                self.category_features, self.codes.T, self.vocabulary, strict=True
            ):
                if n and not (column.min() >= MISSING and column.max() < len(words)):
                    problems.append(f"{name}: a code outside its vocabulary of {len(words)}")
        return problems


def build_drift_reference(
    contract: Contract,
    features: pl.DataFrame,
    y_true: NDArray[np.int8],
    y_proba: NDArray[np.float64],
    *,
    max_rows: int,
    seed: int,
) -> DriftReference:
    """Keep the training rows, or a sample with the same share of positives where there are too many.

    Parameters
    ----------
    contract, features, y_true, y_proba
        As for `build_drift_baseline`.
    max_rows : int
        `monitoring.reference_rows`.
    seed : int
        Fixes the sample.

    Returns
    -------
    reference : DriftReference

    Raises
    ------
    TooFewRowsError
        If there are no rows.
    """
    if not len(y_true):
        raise TooFewRowsError("a drift reference needs at least one row")
    vocabulary, codes = [], []
    for name in contract.category_features:
        words = sorted(features[name].drop_nulls().unique().to_list())
        position = {word: i for i, word in enumerate(words)}
        column = [MISSING if word is None else position[word] for word in features[name].to_list()]
        vocabulary.append(tuple(words))
        codes.append(np.array(column, dtype=np.int32))
    numeric = [features[name].to_numpy() for name in contract.numeric_features]
    n = len(y_true)
    reference = DriftReference(
        numeric_features=contract.numeric_features,
        category_features=contract.category_features,
        numeric=np.column_stack(numeric) if numeric else np.zeros((n, 0)),
        codes=np.column_stack(codes) if codes else np.zeros((n, 0), dtype=np.int32),
        vocabulary=tuple(vocabulary),
        y_true=np.asarray(y_true, dtype=np.int8),
        y_proba=np.asarray(y_proba, dtype=np.float64),
        training_rows=n,
    )
    return reference if n <= max_rows else reference.take(_stratified(reference.y_true, max_rows, seed))


def _stratified(y_true: NDArray[np.int8], n_rows: int, seed: int) -> NDArray[np.intp]:
    """Draw positions, each class by its share, in their order."""
    rng = np.random.default_rng(seed)
    positive, negative = np.flatnonzero(y_true == 1), np.flatnonzero(y_true != 1)
    n_positive = round(n_rows * len(positive) / len(y_true))
    drawn = [
        rng.choice(positive, n_positive, replace=False),
        rng.choice(negative, n_rows - n_positive, replace=False),
    ]
    return np.sort(np.concatenate(drawn))


def _texts(words: tuple[str, ...]) -> NDArray[np.str_]:
    # without words NumPy would take an empty list for numbers
    return np.array(words, dtype=np.str_) if words else np.zeros(0, dtype="<U1")
