"""Rows on which a graph that is not exact shows itself: next to splits and next to the decision threshold."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tabloop.contract.checks.rules import broken_rules
from tabloop.contract.columns import NumberColumn
from tabloop.contract.contract import Contract
from tabloop.optimization.export.classifiers import inner_classifier
from tabloop.optimization.export.tree_models import tree_sum_of
from tabloop.optimization.export.tree_sum import TreeSum

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Bisection over all float64 between two numbers ends after as many halvings.
_HALVINGS = 64


def split_probes(
    pipeline: Any, contract: Contract, base: pl.DataFrame, *, n_probes: int = 20_000, seed: int = 0
) -> pl.DataFrame:
    """Make rows that are one float64 step of one column away from changing sides at a split.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Fitted; any classifier, but only tree models have splits.
    contract : Contract
        Says which columns are numbers, their ranges, and which rows are valid.
    base : polars.DataFrame
        Valid rows, typed; each probe is one of them with one number changed.
    n_probes : int, default=20,000
        At most so many rows.
    seed : int, default=0
        Chooses rows, columns and splits.

    Returns
    -------
    probes : polars.DataFrame
        Valid rows, typed. None if the model has no splits, or no number column leads to one.

    Notes
    -----
    The number is found by bisection through the pipeline's own steps, so that formulas, clipping and
    scaling are met as they are: two neighbouring float64, one on each side of the split itself or of
    the next float32 (float64, for a model that compares those) below or above it.
    """
    rng = np.random.default_rng(seed)
    trees = tree_sum_of(inner_classifier(pipeline[-1]))
    paths = _paths(contract)
    splits = {} if trees is None else _splits(trees, len(contract.numeric_features))
    ways = [(column, f) for column, reached in paths.items() for f in reached if f in splits]
    if trees is None or not ways:
        return base.clear()
    pairs = [ways[place] for place in rng.integers(0, len(ways), n_probes // 2)]
    columns = np.array([column for column, _ in pairs])
    feature = np.array([f for _, f in pairs])
    level = np.array([splits[f][rng.integers(0, len(splits[f]))] for f in feature])
    level = _stepped(level, rng.integers(-1, 2, len(pairs)), trees.rounds_to_float32)
    dtype = np.float32 if trees.rounds_to_float32 else np.float64

    def is_left(probes: pl.DataFrame, kept: NDArray[Any]) -> NDArray[np.bool_]:
        x = np.asarray(pipeline[:-1].transform(probes))
        return np.asarray(x[np.arange(len(x)), feature[kept]].astype(dtype).astype(np.float64) <= level[kept])

    rows = base[rng.integers(0, base.height, len(pairs))]
    return _valid(contract, pl.concat([base.clear(), *_bisect(contract, rows, columns, is_left)]))


def threshold_probes(
    pipeline: Any,
    contract: Contract,
    base: pl.DataFrame,
    threshold: float,
    *,
    n_probes: int = 400,
    seed: int = 0,
) -> pl.DataFrame:
    """Make rows whose probability is as close to the threshold as it gets, but a float32 step away.

    Parameters
    ----------
    pipeline, contract, base, seed
        As for `split_probes`.
    threshold : float
        The decision threshold.
    n_probes : int, default=400
        At most so many rows.

    Returns
    -------
    probes : polars.DataFrame
        Valid rows, typed, on both sides. None if no number column moves a row across the threshold.
    """
    rng = np.random.default_rng(seed)
    step = float(np.spacing(np.float32(threshold)))
    columns = np.array(list(_paths(contract)))[rng.integers(0, len(_paths(contract)), n_probes)]
    level = np.where(rng.random(n_probes) < 0.5, threshold + step, threshold - step)

    def is_above(probes: pl.DataFrame, kept: NDArray[Any]) -> NDArray[np.bool_]:
        return np.asarray(pipeline.predict_proba(probes)[:, 1] >= level[kept])

    rows = base[rng.integers(0, base.height, n_probes)]
    probes = pl.concat([base.clear(), *_bisect(contract, rows, columns, is_above)])
    if probes.height:
        away = np.abs(pipeline.predict_proba(probes)[:, 1] - threshold) >= step
        probes = probes.filter(pl.Series(away))
    return _valid(contract, probes)


def _paths(contract: Contract) -> dict[str, list[int]]:
    """Say which numeric features each number column has a part in, by their places."""
    return {
        name: [
            place
            for place, feature in enumerate(contract.numeric_features)
            if feature == name
            or (feature in contract.features and name in contract.features[feature].columns)
        ]
        for name, column in contract.columns.items()
        if isinstance(column, NumberColumn)
    }


def _splits(trees: TreeSum, n_numeric: int) -> dict[int, NDArray[np.float64]]:
    feature = np.concatenate([tree.feature[tree.left >= 0] for tree in trees.trees])
    threshold = np.concatenate([tree.threshold[tree.left >= 0] for tree in trees.trees])
    return {int(f): np.unique(threshold[feature == f]) for f in np.unique(feature) if f < n_numeric}


def _stepped(level: NDArray[Any], steps: NDArray[Any], to_float32: bool) -> NDArray[np.float64]:
    """Move each level to itself or to the next number below or above it."""
    # a level that is no float32 splits as the float32 below it does, except when it is compared itself
    dtype = np.float32 if to_float32 else np.float64
    toward = np.where(steps < 0, -np.inf, np.inf).astype(dtype)
    stepped = np.nextafter(level.astype(dtype), toward).astype(np.float64)
    return np.where(steps == 0, level, stepped)


def _bisect(
    contract: Contract,
    rows: pl.DataFrame,
    columns: NDArray[np.str_],
    answers: Callable[[pl.DataFrame, NDArray[Any]], NDArray[np.bool_]],
) -> list[pl.DataFrame]:
    """Change one column of each row to two neighbouring numbers between which the answer changes.

    All rows are asked at once, whichever column is theirs.
    """
    ranges = {name: _sampled_range(contract, name) for name in np.unique(columns).tolist()}

    def with_values(values: NDArray[np.float64], kept: NDArray[Any]) -> pl.DataFrame:
        return rows[kept].with_columns(
            pl.when(pl.Series(columns[kept] == name)).then(pl.Series(values)).otherwise(name).alias(name)
            for name in ranges
        )

    kept = np.arange(rows.height)
    ends = [np.array([ranges[name][end] for name in columns.tolist()]) for end in (0, 1)]
    first, last = (answers(with_values(end, kept), kept) for end in ends)
    kept = np.flatnonzero(first != last)
    if kept.size == 0:
        return []
    at_low = first[kept]
    low, high = (_ordinals(end[kept]) for end in ends)
    for _ in range(_HALVINGS):
        middle = (low >> 1) + (high >> 1) + (low & high & 1)
        as_low = answers(with_values(_floats(middle), kept), kept) == at_low
        low, high = np.where(as_low, middle, low), np.where(as_low, high, middle)
    return [with_values(_floats(side), kept) for side in (low, high)]


def _sampled_range(contract: Contract, name: str) -> tuple[float, float]:
    limits = contract.columns[name]
    assert isinstance(limits, NumberColumn)
    low, high = limits.sampled_range()
    return float(low), float(high)


def _ordinals(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give float64 their places in the order of all, so that halfway has as many on either side."""
    bits = (values + 0.0).view(np.int64)
    return np.where(bits < 0, np.iinfo(np.int64).min - bits, bits)


def _floats(ordinals: NDArray[np.int64]) -> NDArray[np.float64]:
    bits = np.where(ordinals < 0, np.iinfo(np.int64).min - ordinals, ordinals)
    return bits.view(np.float64)


def _valid(contract: Contract, rows: pl.DataFrame) -> pl.DataFrame:
    broken = np.zeros(rows.height, dtype=np.bool_)
    for rule_broken in broken_rules(contract, rows).values():
        broken |= rule_broken
    return rows.filter(pl.Series(~broken))
