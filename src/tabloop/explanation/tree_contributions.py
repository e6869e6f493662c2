r"""Exact Shapley values of a sum of trees, for the raw columns, against rows of a background.

The game of one row and one background row: the columns in a coalition have the row's values, the others those
of the background row; its worth is what the trees sum [1]_. Walking down a tree, a split where both rows go
the same way decides nothing. Where they part, the walk goes both ways, once with the split's column inside
the coalition and once outside. A leaf that is reached with :math:`k` columns fixed inside and :math:`l`
outside is the worth of just the coalitions that hold the first and not the others, and adds
:math:`(k-1)!\,l!/(k+l)!` of its value to each column inside and takes :math:`k!\,(l-1)!/(k+l)!` of it from
each outside [2]_. Nothing is sampled or approximated but the background.

References
----------
.. [1] S. Lundberg et al., "From local explanations to global understanding with explainable AI for trees",
   Nature Machine Intelligence 2, 2020: interventional feature perturbation.
.. [2] J. Harsanyi, "A simplified bargaining model for the n-person cooperative game", International Economic
   Review 4(2), 1963: the value of a game as a sum over such parts of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tabloop.inference.explainer import FlatTrees

if TYPE_CHECKING:
    from numpy.typing import NDArray

# walks that are begun at once: what they hold stays in tens of megabytes
_WALKS_AT_ONCE = 50_000
_WORD = 64


@dataclass(frozen=True)
class MixedFeatures:
    """Features that several columns go into, for every choice of each column's origin.

    Attributes
    ----------
    columns : tuple of int
        The columns, by number.
    features : ndarray of int64, shape (n_features,)
        The features that just these columns go into.
    values : ndarray of float64, shape (n_pairs, 2 ** n_columns, n_features)
        Bit `i` of the second place says whether column `i` has the row's value, else the background row's.
    """

    columns: tuple[int, ...]
    features: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """Rows, each with a row of the background.

    Attributes
    ----------
    row, other : ndarray of int64, shape (n_pairs,)
        Places in `here` and in `there`.
    here, there : ndarray of float64, shape (n_rows, n_features) and (n_background, n_features)
        Features of the rows and of the background.
    mixed : tuple of MixedFeatures
        Those that several columns go into.
    """

    row: NDArray[np.int64]
    other: NDArray[np.int64]
    here: NDArray[np.float64]
    there: NDArray[np.float64]
    mixed: tuple[MixedFeatures, ...] = ()


@dataclass
class _Walks:
    """Where each walk is, of which pair, and which columns it fixed; bits of words."""

    node: NDArray[np.int32]
    pair: NDArray[np.int64]
    inside: NDArray[np.uint64]
    outside: NDArray[np.uint64]

    def take(self, chosen: NDArray[Any]) -> _Walks:
        return _Walks(self.node[chosen], self.pair[chosen], self.inside[chosen], self.outside[chosen])

    @staticmethod
    def together(parts: Sequence[_Walks]) -> _Walks:
        return _Walks(
            np.concatenate([part.node for part in parts]),
            np.concatenate([part.pair for part in parts]),
            np.concatenate([part.inside for part in parts]),
            np.concatenate([part.outside for part in parts]),
        )


def pairs_at_once(trees: FlatTrees) -> int:
    """Say how many pairs `tree_contributions` should get at a time."""
    return max(1, _WALKS_AT_ONCE // len(trees.roots))


def tree_contributions(
    trees: FlatTrees, pairs: Pairs, column_of: NDArray[np.int64], n_columns: int
) -> NDArray[np.float64]:
    """Give each column's Shapley value, summed over the pairs of a row.

    Parameters
    ----------
    trees : FlatTrees
        The model.
    pairs : Pairs
        At most `pairs_at_once` of them, or much memory is taken.
    column_of : ndarray of int64, shape (n_features,)
        The number of the one column that a feature comes from; of others anything.
    n_columns : int
        The number of columns.

    Returns
    -------
    contributions : ndarray of float64, shape (n_rows, n_columns)
    """
    found = np.zeros((len(pairs.here), n_columns))
    mixed_of = np.full(len(column_of), -1)
    for number, each in enumerate(pairs.mixed):
        mixed_of[each.features] = number
    n_pairs, n_words = len(pairs.row), -(-n_columns // _WORD)
    nothing = np.zeros((n_pairs * len(trees.roots), n_words), dtype=np.uint64)
    walks = _Walks(
        np.tile(trees.roots, n_pairs), np.repeat(np.arange(n_pairs), len(trees.roots)), nothing, nothing
    )
    while len(walks.node):
        in_leaf = trees.left[walks.node] < 0
        if in_leaf.any():
            _settle(trees, walks.take(in_leaf), pairs.row, found)
            walks = walks.take(~in_leaf)
        feature = trees.feature[walks.node]
        group = mixed_of[feature]
        parts = [_step(trees, walks.take(group < 0), pairs, column_of)]
        for number in np.unique(group[group >= 0]).tolist():
            parts.append(_mixed_step(trees, walks.take(group == number), pairs.mixed[number]))
        walks = parts[0] if len(parts) == 1 else _Walks.together(parts)
    return found


def tree_scores(trees: FlatTrees, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give what the trees sum, of each row; shape (n_rows,)."""
    total = np.zeros(len(features))
    rows = np.arange(len(features))
    for root in trees.roots:
        node = np.full(len(features), root)
        while True:
            inner = trees.left[node] >= 0
            if not inner.any():
                break
            goes_left = _goes_left(trees, node, features[rows, trees.feature[node]])
            node = np.where(inner, np.where(goes_left, trees.left[node], trees.right[node]), node)
        total += trees.value[node]
    return total


def _goes_left(trees: FlatTrees, node: NDArray[Any], values: NDArray[np.float64]) -> NDArray[np.bool_]:
    is_missing = np.isnan(values) & trees.missing_left[node]
    return np.asarray(is_missing | (values <= trees.threshold[node]))


def _step(trees: FlatTrees, walks: _Walks, pairs: Pairs, column_of: NDArray[np.int64]) -> _Walks:
    """Go down a level at splits on features of one column each."""
    node, pair = walks.node, walks.pair
    feature = trees.feature[node]
    here = _goes_left(trees, node, pairs.here[pairs.row[pair], feature])
    there = _goes_left(trees, node, pairs.there[pairs.other[pair], feature])
    word, bit = np.divmod(column_of[feature], _WORD)
    at = np.arange(len(node))
    mask = np.left_shift(np.uint64(1), bit.astype(np.uint64))
    is_inside = (walks.inside[at, word] & mask) != 0
    is_outside = (walks.outside[at, word] & mask) != 0
    goes_left = np.where(is_outside, there, here)
    node_here = np.where(goes_left, trees.left[node], trees.right[node])
    parts = (here != there) & ~is_inside & ~is_outside
    if not parts.any():
        return _Walks(node_here, pair, walks.inside, walks.outside)
    split = np.flatnonzero(parts)
    inside, outside = walks.inside.copy(), walks.outside[split]  # fancy indexing copies
    inside[split, word[split]] |= mask[split]
    outside[np.arange(len(split)), word[split]] |= mask[split]
    other = node[split]
    node_there = np.where(there[split], trees.left[other], trees.right[other])
    return _Walks.together(
        [
            _Walks(node_here, pair, inside, walks.outside),
            _Walks(node_there, pair[split], walks.inside[split], outside),
        ]
    )


def _mixed_step(trees: FlatTrees, walks: _Walks, mixed: MixedFeatures) -> _Walks:
    """Go down a level at splits on features that the same columns go into."""
    node = walks.node
    place = np.searchsorted(mixed.features, trees.feature[node])
    n_words = walks.inside.shape[1]
    choices = []
    # whether any choice goes left, and whether any goes right
    goes, comes = np.zeros((2, len(node)), dtype=np.bool_)
    for choice in range(2 ** len(mixed.columns)):
        inside, outside = np.zeros((2, n_words), dtype=np.uint64)
        for number, column in enumerate(mixed.columns):
            words = inside if choice >> number & 1 else outside
            words[column // _WORD] |= np.uint64(1 << column % _WORD)
        is_open = ~((walks.outside & inside).any(axis=1) | (walks.inside & outside).any(axis=1))
        left = _goes_left(trees, node, mixed.values[walks.pair, choice, place])
        goes |= is_open & left
        comes |= is_open & ~left
        choices.append((inside, outside, is_open, left))
    parts = goes & comes
    agree = np.flatnonzero(~parts)
    next_node = np.where(goes, trees.left[node], trees.right[node])
    moved = [_Walks(next_node[agree], walks.pair[agree], walks.inside[agree], walks.outside[agree])]
    for inside, outside, is_open, left in choices:
        split = np.flatnonzero(parts & is_open)
        at = node[split]
        moved.append(
            _Walks(
                np.where(left[split], trees.left[at], trees.right[at]),
                walks.pair[split],
                walks.inside[split] | inside,
                walks.outside[split] | outside,
            )
        )
    return _Walks.together(moved)


def _settle(trees: FlatTrees, walks: _Walks, row: NDArray[np.int64], found: NDArray[np.float64]) -> None:
    """Share out the values of the leaves that walks arrived in."""
    k = np.bitwise_count(walks.inside).sum(axis=1).astype(np.int64)
    m = np.bitwise_count(walks.outside).sum(axis=1).astype(np.int64)
    fixed = k + m > 0
    walks, k, m = walks.take(fixed), k[fixed], m[fixed]
    value = trees.value[walks.node]
    # logarithms of factorials from 0! on, behind one value that is never used
    log_factorial = np.concatenate(
        [[0.0, 0.0], np.log(np.arange(1, int((k + m).max(initial=0)) + 1)).cumsum()]
    )
    log_all = log_factorial[k + m + 1]
    gains = value * np.exp(log_factorial[k] + log_factorial[m + 1] - log_all)
    losses = -value * np.exp(log_factorial[k + 1] + log_factorial[m] - log_all)
    first = row[walks.pair] * found.shape[1]
    flat = found.reshape(-1)
    for words, shares in ((walks.inside, gains), (walks.outside, losses)):
        for number in range(words.shape[1]):
            word, at = words[:, number], np.arange(len(words))
            while True:
                has_more = word != 0
                word, at = word[has_more], at[has_more]
                if not len(word):
                    break
                lowest = word & (~word + np.uint64(1))
                column = np.bitwise_count(lowest - np.uint64(1)) + np.int64(number * _WORD)
                flat += np.bincount(first[at] + column, shares[at], minlength=len(flat))
                word = word ^ lowest


def mixes_of(sources: Sequence[tuple[str, ...]]) -> Mapping[tuple[str, ...], NDArray[np.int64]]:
    """Say which features have several columns, by these.

    Examples
    --------
    >>> mixes_of([("a",), ("a", "b"), ("b",), ("a", "b")])
    {('a', 'b'): array([1, 3])}
    """
    several = {source for source in sources if len(source) > 1}
    return {each: np.flatnonzero([source == each for source in sources]) for each in sorted(several)}
