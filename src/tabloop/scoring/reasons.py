"""The columns that spoke most for each decision: reason codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tabloop.explanation.contributions import RowExplainer
from tabloop.inference.scoring_service import Decisions

if TYPE_CHECKING:
    from numpy.typing import NDArray


def reason_names(n: int) -> tuple[str, ...]:
    """Name the columns of reasons.

    Examples
    --------
    >>> reason_names(2)
    ('reason_1', 'reason_2')
    """
    return tuple(f"reason_{place + 1}" for place in range(n))


@dataclass(frozen=True)
class Reasons:
    """Finds the reasons of decisions.

    Attributes
    ----------
    explainer : RowExplainer
        The explainer of the run.
    names : tuple of str
        The columns to give, the strongest reason first.
    """

    explainer: RowExplainer
    names: tuple[str, ...]

    def of(self, columns: Mapping[str, NDArray[Any]], decisions: Decisions) -> list[pl.Series]:
        """Name the columns whose contributions went most towards each decision.

        Returns
        -------
        reasons : list of polars.Series
            One for each of `names`; null where fewer columns went that way.
        """
        found = self.explainer.explain(columns)
        towards = np.where(decisions.label[:, None] == 1, found.values, -found.values)
        order = np.argsort(-towards, axis=1, kind="stable")[:, : len(self.names)]
        speaks = np.take_along_axis(towards, order, axis=1) > 0
        named = np.full(order.shape, None, dtype=object)
        named[speaks] = np.array(found.columns, dtype=object)[order[speaks]]
        # as lists: Polars takes an array of nothing but None for objects
        places = [*named.T.tolist(), *[[None] * len(named)] * (len(self.names) - order.shape[1])]
        return [
            pl.Series(name, values, dtype=pl.String) for name, values in zip(self.names, places, strict=True)
        ]
