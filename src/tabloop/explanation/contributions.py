r"""What each column contributed to single answers: Shapley values [1]_ against a background of training rows.

A row's contributions and the base add up to what the model gave it: the base is the mean over the background,
and the contribution of a column is what knowing its value adds, averaged over all orders in which the values
of the columns become known. Columns that are not known yet have the values of the background's rows, each in
turn. A category is one column, however many numbers a model sees of it, and what a formula brings goes to the
columns that it is made of.

A sum of trees and a weighted sum are computed exactly, whatever the number of columns. Of other models only
the answers are known: up to seven columns every coalition is tried, which is exact too; beyond, orders are
drawn, each together with its reverse, and the standard error says how far off that may be.

References
----------
.. [1] L. Shapley, "A value for n-person games", Contributions to the Theory of Games II, 1953.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import factorial
from typing import TYPE_CHECKING, Any

import numpy as np

from tabloop.explanation.tree_contributions import (
    MixedFeatures,
    Pairs,
    mixes_of,
    pairs_at_once,
    tree_contributions,
    tree_scores,
)
from tabloop.inference.explainer import Explainer, Unit
from tabloop.inference.predictor import Predictor

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

_Columns = Mapping[str, "NDArray[Any]"]

_MOST_COLUMNS_TRIED = 7
# of one formula; beyond that a model counts as one of which only the answers are known
_MOST_COLUMNS_MIXED = 6


@dataclass(frozen=True)
class Contributions:
    """What each column contributed.

    Attributes
    ----------
    unit : str
        The unit of the base and the values.
    base : float
        The mean over the background.
    columns : tuple of str
        The raw columns that the model sees.
    values : ndarray of float64, shape (n_rows, n_columns)
        ``base + values.sum(axis=1)`` is what the model gave each row.
    standard_error : ndarray of float64, shape (n_rows,)
        The largest of a row's contributions; 0 where they are exact.
    """

    unit: Unit
    base: float
    columns: tuple[str, ...]
    values: NDArray[np.float64]
    standard_error: NDArray[np.float64]

    def as_frame(self, probability_name: str, probability: NDArray[np.float64]) -> pl.DataFrame:
        """Give probability, base, contributions and error as columns; a name that is taken gets a line below.

        Examples
        --------
        >>> one = Contributions("log_odds", -1.0, ("days",), np.array([[0.5]]), np.zeros(1))
        >>> one.as_frame("p", np.array([0.38])).columns
        ['p', 'base_log_odds', 'days', 'standard_error']
        """
        import polars as pl

        added: dict[str, Any] = {}
        for name, values in (
            (probability_name, probability),
            (f"base_{self.unit}", np.full(len(probability), self.base)),
            ("standard_error", self.standard_error),
        ):
            while name in self.columns or name in added:
                name += "_"
            added[name] = values
        error = added.popitem()
        return pl.DataFrame(added | dict(zip(self.columns, self.values.T, strict=True)) | dict([error]))


class RowExplainer:
    """Explains a model's answers.

    Parameters
    ----------
    explainer : Explainer
        The run's.
    predictor : Predictor
        The run's graph.
    seed : int
        The seed of the orders that are drawn, where some are.
    """

    def __init__(self, explainer: Explainer, predictor: Predictor, *, seed: int) -> None:
        self._explainer, self._predictor, self._seed = explainer, predictor, seed
        is_open = explainer.trees is not None or explainer.weights is not None
        is_narrow = all(len(each) <= _MOST_COLUMNS_MIXED for each in mixes_of(explainer.sources))
        self._game = _FeatureGame(explainer) if is_open and is_narrow else None

    def explain(self, columns: _Columns, progress: Callable[[float], None] = lambda _: None) -> Contributions:
        """Explain the answers to some rows.

        Parameters
        ----------
        columns : mapping of str to ndarray of shape (n_rows,)
            The graph's inputs.
        progress : callable, optional
            Is told the share that is done.

        Returns
        -------
        contributions : Contributions
        """
        game, names = self._game, tuple(self._explainer.background)
        if game is None:
            return _of_answers(self._explainer, self._predictor, columns, self._seed, progress)
        n_rows = len(columns[names[0]])
        values = np.zeros((n_rows, len(names)))
        step = max(1, game.pairs_at_once // game.n_background)
        for start in range(0, n_rows, step):
            some = {name: columns[name][start : start + step] for name in names}
            values[start : start + step] = game.contributions(some)
            progress(min(1.0, (start + step) / n_rows))
        return Contributions(self._explainer.unit, game.base, names, values, np.zeros(n_rows))


class _FeatureGame:
    """A model whose sum is known, on the features that it sees."""

    def __init__(self, explainer: Explainer) -> None:
        self._explainer = explainer
        self._graph = Predictor(explainer.features_graph)
        self._names = tuple(explainer.background)
        number = {name: place for place, name in enumerate(self._names)}
        sources = explainer.sources
        self._column_of = np.array([number[each[0]] if each else 0 for each in sources], dtype=np.int64)
        self._mixes = {tuple(number[name] for name in each): at for each, at in mixes_of(sources).items()}
        self._there = self._graph.predict_all(explainer.background)
        self.n_background = len(self._there)
        trees, weights = explainer.trees, explainer.weights
        if trees is not None:
            self.pairs_at_once = pairs_at_once(trees)
            scores = tree_scores(trees, self._there)
        else:
            self.pairs_at_once = 100 * self.n_background
            scores = self._there @ np.asarray(weights)
        self.base = explainer.start + float(scores.mean())

    def contributions(self, columns: _Columns) -> NDArray[np.float64]:
        here = self._graph.predict_all(columns)
        total = np.zeros((len(here), len(self._names)))
        row = np.repeat(np.arange(len(here)), self.n_background)
        other = np.tile(np.arange(self.n_background), len(here))
        step = self.pairs_at_once
        for start in range(0, len(row), step):
            total += self._of_pairs(columns, here, row[start : start + step], other[start : start + step])
        return total / self.n_background

    def _of_pairs(
        self, columns: _Columns, here: NDArray[np.float64], row: NDArray[np.int64], other: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        mixed = tuple(self._mixed(columns, row, other, *each) for each in self._mixes.items())
        trees, weights = self._explainer.trees, self._explainer.weights
        pairs = Pairs(row, other, here, self._there, mixed)
        if trees is not None:
            return tree_contributions(trees, pairs, self._column_of, len(self._names))
        return _weighted(np.asarray(weights), pairs, self._column_of, len(self._names))

    def _mixed(
        self,
        columns: _Columns,
        row: NDArray[np.int64],
        other: NDArray[np.int64],
        several: tuple[int, ...],
        features: NDArray[np.int64],
    ) -> MixedFeatures:
        values = np.empty((len(row), 2 ** len(several), len(features)))
        for choice in range(2 ** len(several)):
            chosen = {name: columns[name][row] for name in self._names}
            for number, column in enumerate(several):
                if not choice >> number & 1:
                    name = self._names[column]
                    chosen[name] = self._explainer.background[name][other]
            values[:, choice] = self._graph.predict_all(chosen)[:, features]
        return MixedFeatures(several, features, values)


def _weighted(
    weights: NDArray[np.float64], pairs: Pairs, column_of: NDArray[np.int64], n_columns: int
) -> NDArray[np.float64]:
    """Give the contributions to a weighted sum, in closed form but for features of several columns."""
    single = np.ones(len(weights), dtype=np.bool_)
    found = np.zeros((len(pairs.here), n_columns))
    for mixed in pairs.mixed:
        single[mixed.features] = False
        shares = shapley_values(mixed.values @ weights[mixed.features])
        for number, column in enumerate(mixed.columns):
            np.add.at(found[:, column], pairs.row, shares[:, number])
    moved = (pairs.here[pairs.row] - pairs.there[pairs.other]) * weights
    by_column = np.zeros((len(weights), n_columns))
    by_column[single, column_of[single]] = 1.0
    np.add.at(found, pairs.row, moved @ by_column)
    return found


def shapley_values(worth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the Shapley values of games whose every coalition's worth is known.

    Parameters
    ----------
    worth : ndarray of shape (n_games, 2 ** n_players)
        Bit `i` of the second place says whether player `i` is in the coalition.

    Returns
    -------
    values : ndarray of float64, shape (n_games, n_players)

    Examples
    --------
    >>> shapley_values(np.array([[0.0, 1.0, 1.0, 4.0]]))
    array([[2., 2.]])
    """
    n = (worth.shape[1] - 1).bit_length()
    values = np.zeros((len(worth), n))
    for coalition in range(worth.shape[1]):
        size = coalition.bit_count()
        for player in range(n):
            if not coalition >> player & 1:
                weight = factorial(size) * factorial(n - size - 1) / factorial(n)
                values[:, player] += weight * (worth[:, coalition | 1 << player] - worth[:, coalition])
    return values


def _of_answers(
    explainer: Explainer,
    predictor: Predictor,
    columns: _Columns,
    seed: int,
    progress: Callable[[float], None],
) -> Contributions:
    """Explain by answers alone."""
    names = tuple(explainer.background)
    n_rows, n_columns = len(columns[names[0]]), len(names)
    base = float(predictor.predict(explainer.background).mean())
    values, errors = np.zeros((n_rows, n_columns)), np.zeros(n_rows)
    for row in range(n_rows):
        answers = _Answers(predictor, {name: columns[name][row] for name in names}, explainer.background)
        if n_columns <= _MOST_COLUMNS_TRIED:
            coalitions = np.arange(2**n_columns)[:, None] >> np.arange(n_columns) & 1 == 1
            worth = [float(answers.given(known).mean()) for known in coalitions]
            values[row] = shapley_values(np.array([worth]))[0]
        else:
            values[row], errors[row] = _by_orders(answers, n_columns, np.random.default_rng(seed))
        progress((row + 1) / n_rows)
    return Contributions("probability", base, names, values, errors)


class _Answers:
    """What a model answers when some columns of a row are known, for each row of the background."""

    def __init__(self, predictor: Predictor, row: Mapping[str, Any], background: _Columns) -> None:
        self._predictor, self._row, self._background = predictor, row, background

    def given(self, known: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Answer; `known` has shape (n_columns,), or (n_background, n_columns) where each row differs."""
        mixed = {}
        for place, (name, others) in enumerate(self._background.items()):
            is_known = np.broadcast_to(known[..., place], len(others))
            values = others.copy()
            values[is_known] = self._row[name]
            mixed[name] = values
        return self._predictor.predict(mixed)


def _by_orders(
    answers: _Answers, n_columns: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], float]:
    """Draw an order for each row of the background, take it and its reverse; give means and their error."""
    n = len(answers.given(np.zeros(n_columns, dtype=np.bool_)))
    orders = rng.permuted(np.tile(np.arange(n_columns), (n, 1)), axis=1)
    found = np.zeros((n, n_columns))
    for each in (orders, orders[:, ::-1]):
        known = np.zeros((n, n_columns), dtype=np.bool_)
        before = answers.given(known)
        for place in range(n_columns):
            known[np.arange(n), each[:, place]] = True
            after = answers.given(known)
            found[np.arange(n), each[:, place]] += (after - before) / 2
            before = after
    error = found.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.zeros(n_columns)
    return found.mean(axis=0), float(error.max())
