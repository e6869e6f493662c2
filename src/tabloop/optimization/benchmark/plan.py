"""What is timed, in which order, and how many calls of it fit into the time there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

_MOST_CALLS = 100
_MOST_ROWS_PER_BLOCK = 100_000
_LEAST_ROUNDS = 3

#: No cell gets more than this share of the time, nor is tried when it would take twice that.
_MOST_SHARE = 0.15

#: The batch sizes that are talked about get this many times the time of the others.
_HEADLINE_WEIGHT = 3.0

#: Calls that take longer do not notice a cold cache, and warming up would double their cost.
_WARM_UP_BELOW_S = 0.02


class Measurable(Protocol):
    """Anything that knows whether it is the winner's."""

    @property
    def is_winner(self) -> bool:
        """Whether training chose the candidate."""


@dataclass(frozen=True, order=True)
class Cell:
    """One variant, by its position, at one batch size."""

    variant: int
    batch_size: int


@dataclass(frozen=True)
class Blocks:
    """How a cell is timed.

    Attributes
    ----------
    rounds : int
        The number of rounds, counted from the first, in which it takes part.
    calls : int
        The number of calls in each round.
    warm_up : bool
        Whether each block begins with untimed calls.
    limit_s : float
        A block ends early after this long.
    """

    rounds: int
    calls: int
    warm_up: bool
    limit_s: float


Plan = Mapping[Cell, Blocks]


def plan_cells(
    variants: Sequence[Measurable], batch_sizes: Iterable[int], headline: int, *, full: bool
) -> list[Cell]:
    """Choose what is timed.

    Parameters
    ----------
    variants : sequence of Variant
        The variants to measure.
    batch_sizes : iterable of int
        The sizes of the full comparison; the headline size is added.
    headline : int
        The size at which variants are compared.
    full : bool
        Everything; otherwise the winner's variants at all sizes and the others at 1 and the headline.

    Returns
    -------
    cells : list of Cell

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> winner, other = SimpleNamespace(is_winner=True), SimpleNamespace(is_winner=False)
    >>> [cell.batch_size for cell in plan_cells([winner], [1, 16, 64], 16, full=False)]
    [1, 16, 64]
    >>> [cell.batch_size for cell in plan_cells([other], [1, 16, 64], 16, full=False)]
    [1, 16]
    """
    every = sorted({*batch_sizes, headline})
    few = sorted({1, headline})
    return [
        Cell(i, size)
        for i, variant in enumerate(variants)
        for size in (every if full or variant.is_winner else few)
    ]


def order_of_rounds(cells: Sequence[Cell], rounds: int, seed: int) -> list[list[Cell]]:
    """Shuffle every round anew: batch sizes among each other, and the variants within each.

    Variants of one batch size follow each other at once, so that what is compared is close in time.

    Examples
    --------
    >>> first, second = order_of_rounds([Cell(0, 1), Cell(1, 1), Cell(0, 16)], 2, seed=0)
    >>> sorted(first) == sorted(second)
    True
    """
    generator = np.random.default_rng([seed, 1])
    sizes = sorted({cell.batch_size for cell in cells})
    order = []
    for _ in range(rounds):
        shuffled = []
        for size in generator.permutation(sizes):
            of_size = [cell for cell in cells if cell.batch_size == size]
            shuffled += [of_size[i] for i in generator.permutation(len(of_size))]
        order.append(shuffled)
    return order


def plan_calls(
    costs: Mapping[Cell, float], rounds: int, headline: int, *, budget_s: float
) -> dict[Cell, Blocks]:
    """Share the time among the cells.

    Parameters
    ----------
    costs : mapping of Cell to float
        Seconds that one call takes.
    rounds : int
        Rounds there should be.
    headline : int
        The batch size that, with single rows, gets most of the time.
    budget_s : float
        Seconds for everything together.

    Returns
    -------
    plan : dict of Cell to Blocks
        Every cell gets the same time for a round, and so the more calls the faster it is, at least one and
        at most 100. A slow cell takes part in fewer rounds, at least 3; one that is too slow even for
        that is not in the plan.

    Examples
    --------
    >>> plan = plan_calls({Cell(0, 1): 0.001, Cell(1, 1): 0.1, Cell(2, 1): 60.0}, 10, 256, budget_s=9.5)
    >>> [(cell.variant, blocks.rounds, blocks.calls) for cell, blocks in plan.items()]
    [(0, 10, 100), (1, 10, 8)]
    """
    most_s = _MOST_SHARE * budget_s
    in_rounds = {
        cell: int(np.clip(most_s / cost, _LEAST_ROUNDS, rounds))
        for cell, cost in costs.items()
        if _LEAST_ROUNDS * cost <= 2 * most_s
    }

    def calls_at(slice_s: float) -> dict[Cell, int]:
        return {cell: _calls(cell, costs[cell], slice_s * _weight(cell, headline)) for cell in in_rounds}

    def total_s(slice_s: float) -> float:
        return sum(in_rounds[c] * n * costs[c] for c, n in calls_at(slice_s).items())

    low, high = 0.0, budget_s
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if total_s(middle) <= budget_s else (low, middle)
    calls = calls_at(low)
    return {
        cell: Blocks(
            rounds=in_rounds[cell],
            calls=calls[cell],
            warm_up=costs[cell] < _WARM_UP_BELOW_S,
            limit_s=0.2 + 2 * calls[cell] * costs[cell],
        )
        for cell in in_rounds
    }


def _weight(cell: Cell, headline: int) -> float:
    return _HEADLINE_WEIGHT if cell.batch_size in (1, headline) else 1.0


def _calls(cell: Cell, cost_s: float, slice_s: float) -> int:
    most = max(1, min(_MOST_CALLS, _MOST_ROWS_PER_BLOCK // cell.batch_size))
    return int(np.clip(slice_s / cost_s, 1, most))
