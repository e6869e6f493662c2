"""What a threshold promises of fresh rows: a precision, a recall, a rate of positives, or a value."""

from __future__ import annotations

from typing import Literal

import msgspec

Objective = Literal["precision", "recall", "capacity", "costs"]

#: What each objective is called in a table.
OBJECTIVE_NAMES: dict[Objective, str] = {
    "precision": "precision",
    "recall": "recall",
    "capacity": "positive decisions in 1,000 rows",
    "costs": "value of 1,000 rows",
}


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """What decisions are worth, in any one unit: a hit brings, a false alarm and a miss cost."""

    hit: float
    false_alarm: float
    miss: float

    def value_per_1000(self, rows: float, hits: float, positive_rows: float, n_rows: float) -> float:
        """Say what 1,000 rows bring if `rows` of `n_rows` are decided positive, `hits` of them rightly.

        Examples
        --------
        >>> Prices(hit=10, false_alarm=1, miss=2).value_per_1000(60, 40, 50, 1000)
        360.0
        """
        worth = self.hit * hits - self.false_alarm * (rows - hits) - self.miss * (positive_rows - hits)
        return 1000.0 * worth / n_rows

    def describe(self) -> str:
        """Say the three in words."""
        return f"a hit brings {self.hit:g}, a false alarm costs {self.false_alarm:g}, a miss {self.miss:g}"


class Consequence(msgspec.Struct, frozen=True, kw_only=True):
    """What one threshold does to the training rows, out-of-fold.

    Attributes
    ----------
    threshold : float
        Decisions are `score >= threshold`.
    predicted_positive_rows, true_positive_rows : int
        Rows decided positive, and those of them that are.
    """

    threshold: float
    predicted_positive_rows: int
    true_positive_rows: int


class Promise(Consequence, frozen=True, kw_only=True):
    """What one objective promises at the threshold that it would choose.

    Attributes
    ----------
    objective : {"precision", "recall", "capacity", "costs"}
        The objective that is promised.
    confidence : float
        The confidence with which the promise holds.
    target : float or None
        What was asked for: a precision or recall in (0, 1), or positive decisions in 1,000 rows. None for
        costs, where the most is taken that can be had.
    feasible : bool
        Whether the target can be promised; for costs, whether the decisions are proved to be worth more than
        to decide nothing positive.
    promised : float
        What holds with `confidence`: at least so much precision, recall or value of 1,000 rows, or at most so
        many positive decisions in 1,000 rows. The target where it is feasible, else the best there is.
    bound : float
        The bound at the chosen threshold; what it has beyond a feasible target was to spare.
    observed : float
        The same figure of the training rows, out-of-fold.
    interval : (float, float) or None
        For costs only: the bounds between which the value of 1,000 rows lies.
    prices : Prices or None
        The prices, for costs only.
    """

    objective: Objective
    confidence: float
    target: float | None
    feasible: bool
    promised: float
    bound: float
    observed: float
    interval: tuple[float, float] | None = None
    prices: Prices | None = None

    @property
    def asked(self) -> str:
        """What was asked for, as a noun.

        Examples
        --------
        >>> _example("recall", target=0.8).asked, _example("capacity", target=50.0).asked
        ('a recall of 0.8', 'at most 50 positive decisions in 1,000 rows')
        """
        match self.objective:
            case "capacity":
                return f"at most {self.target:g} positive decisions in 1,000 rows"
            case "costs":
                return "a value above that of deciding nothing positive"
            case _:
                return f"a {self.objective} of {self.target:g}"

    @property
    def kept(self) -> str:
        """What can be promised, in short: a number, for costs the bounds of the value of 1,000 rows.

        Examples
        --------
        >>> _example("recall", target=0.8, bound=0.7512).kept
        '0.751'
        """
        if self.interval is not None:
            return f"{self.interval[0]:.5g} to {self.interval[1]:.5g} for 1,000 rows"
        return f"{self.promised:.1f}" if self.objective == "capacity" else f"{self.promised:.3f}"

    def describe(self) -> str:
        """Say in a clause whether it can be promised.

        Examples
        --------
        >>> _example("precision", target=0.9, feasible=True).describe()
        'a precision of 0.9 is promised'
        >>> _example("precision", target=0.9, bound=0.8512).describe()
        'a precision of 0.9 cannot be promised, 0.851 is'
        """
        if self.objective == "costs":
            worth = f"a value of {self.kept} is promised"
            return worth if self.feasible else f"{worth}, but not that it is above that of deciding nothing"
        verb = "are" if self.objective == "capacity" else "is"
        return (
            f"{self.asked} {verb} promised"
            if self.feasible
            else (f"{self.asked} cannot be promised, {self.kept} {verb}")
        )

    def sentence(self, scope: str = "on fresh rows like the training rows") -> str:
        """Say it in a whole sentence, for people who did not ask for it.

        Examples
        --------
        >>> _example("capacity", target=50.0, feasible=True).sentence()[:62]
        'Promised: at most 50 of 1,000 rows are decided positive, with '
        >>> _example("recall", target=0.8, bound=0.7512).sentence()[:65]
        'That at least 80.0% of the positive rows are found cannot be prom'
        """
        how_sure = f"with confidence {self.confidence:.0%}"
        if self.feasible:
            return f"Promised: {self._claim(self.promised)}, {how_sure}, {scope}."
        wanted = (
            "the decisions are worth more than to decide nothing positive"
            if self.target is None
            else self._claim(self.target)
        )
        return f"That {wanted} cannot be promised from these rows; {how_sure}, {self._claim(self.promised)}."

    def _claim(self, figure: float) -> str:
        match self.objective:
            case "precision":
                return f"at least {figure:.1%} of the positive decisions are right"
            case "recall":
                return f"at least {figure:.1%} of the positive rows are found"
            case "capacity":
                return f"at most {figure:.5g} of 1,000 rows are decided positive"
            case _:
                prices = "" if self.prices is None else f" where {self.prices.describe()}"
                low, high = self.interval or (figure, figure)
                return f"1,000 rows have a value of {low:.5g} to {high:.5g}{prices}"

    def promised_text(self) -> str:
        """Write what holds, for a figure of a report."""
        return self._figure(self.promised)

    def target_text(self) -> str:
        """Write what was asked for."""
        return "" if self.target is None else self._figure(self.target)

    def observed_text(self) -> str:
        """Write what the training rows showed."""
        return self._figure(self.observed)

    def _figure(self, figure: float) -> str:
        return f"{figure:.1%}" if self.objective in ("precision", "recall") else f"{figure:.5g}"


def _example(objective: Objective, *, target: float, bound: float = 0.0, feasible: bool = False) -> Promise:
    """Make a promise for the examples above."""
    return Promise(
        objective=objective, confidence=0.95, target=target, feasible=feasible, bound=bound, observed=bound,
        promised=target if feasible else bound, threshold=0.5, predicted_positive_rows=60,
        true_positive_rows=40,
    )  # fmt: skip
