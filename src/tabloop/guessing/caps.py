"""How much of a large table each candidate gets, so that all of them end in minutes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Up to so many rows every candidate takes what its defaults say.
_SMALL, _MEDIUM = 20_000, 100_000


@dataclass(frozen=True)
class CappedCandidate:
    """The settings of a candidate, and why they are not the usual ones; an empty reason where they are."""

    settings: Mapping[str, Any]
    reason: str = field(default="")


def candidates_for(rows: int) -> dict[str, CappedCandidate]:
    """Choose the settings of the five candidates for a table of so many rows.

    Parameters
    ----------
    rows : int
        Rows of the table, those of the test part among them.

    Returns
    -------
    candidates : dict of str to CappedCandidate

    Notes
    -----
    They bound time and memory on two cores; docs/sizes.md has what `benchmarks/table_sizes.py` measured.

    Examples
    --------
    >>> candidates_for(1_000)["svm"]
    CappedCandidate(settings={'C': 1.0}, reason='')
    >>> candidates_for(1_000_000)["svm"].settings
    {'C': 1.0, 'max_rows': 10000}
    """
    svm: dict[str, float] = {"C": 1.0}
    neighbours: dict[str, float] = {"n_neighbors": 7}
    forest: dict[str, float] = {"n_estimators": 400, "min_samples_leaf": 2}
    why = dict.fromkeys(("svm", "k_neighbors", "random_forest"), "")
    if rows > _SMALL:
        svm["max_rows"] = 10_000
        why["svm"] = f"of {rows:,} rows; its time grows with the square of these"
        forest |= {"n_estimators": 100, "min_samples_leaf": 5, "max_samples": 10_000}
        why["random_forest"] = f"a quarter of the usual trees, each from 10,000 of {rows:,} rows"
    if rows > _MEDIUM:
        neighbours["max_rows"] = 20_000
        why["k_neighbors"] = f"of {rows:,} rows; each answer is compared with all of these"
        forest["max_samples"] = 50_000
        why["random_forest"] = f"a quarter of the usual trees, each from 50,000 of {rows:,} rows"
    return {
        "logistic_regression": CappedCandidate({"max_iter": 2000}),
        "k_neighbors": CappedCandidate(neighbours, why["k_neighbors"]),
        "svm": CappedCandidate(svm, why["svm"]),
        "decision_tree": CappedCandidate({"max_depth": 8, "min_samples_leaf": 10}),
        "random_forest": CappedCandidate(forest, why["random_forest"]),
    }


def min_category_rows_for(rows: int) -> int:
    """Choose below how many rows a category is grouped with others: a thousandth of a large table.

    Examples
    --------
    >>> [min_category_rows_for(rows) for rows in (100, 3_000, 20_000, 1_000_000)]
    [5, 30, 50, 1000]
    """
    return max(50, rows // 1000) if rows >= 5000 else max(5, rows // 100)
