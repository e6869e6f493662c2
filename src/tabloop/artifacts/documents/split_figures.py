"""How the rows of a run were split, and what that means for its promise."""

from __future__ import annotations

from typing import Literal

import msgspec


class SplitFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The two parts of the rows.

    Attributes
    ----------
    kind : str
        `data.split.kind`.
    column : str or None
        The column that a split by group or time goes by.
    training_positive_rate, test_positive_rate : float
        Fraction of positives in either part.
    training_groups, test_groups : int or None
        Groups in either part, of a split by group.
    test_from : str or None
        The first moment (or number) of the test part, of a split by time.
    never_scored_rows : int or None
        Training rows that no fold scores, of a split by time: the earliest ones.
    """

    kind: Literal["hash", "group", "time"]
    training_positive_rate: float
    test_positive_rate: float
    column: str | None = None
    training_groups: int | None = None
    test_groups: int | None = None
    test_from: str | None = None
    never_scored_rows: int | None = None

    def describe(self) -> str:
        """Say how the rows were split.

        Examples
        --------
        >>> SplitFigures(kind="time", column="ordered", test_from="2026-01-01T00:00:00Z",
        ...              training_positive_rate=0.1, test_positive_rate=0.2).describe()
        'by time: ordered from 2026-01-01T00:00:00Z is the test part; positives: 10.0% of the training ...'
        """
        rates = (
            f"positives: {self.training_positive_rate:.1%} of the training part, "
            f"{self.test_positive_rate:.1%} of the test part"
        )
        if self.kind == "group":
            return (
                f"by group: {self.training_groups:,} values of {self.column} to train on, "
                f"{self.test_groups:,} others to report on; {rates}"
            )
        if self.kind == "time":
            return f"by time: {self.column} from {self.test_from} is the test part; {rates}"
        return f"by a hash of the features; {rates}"


def promise_scope(split: SplitFigures | None) -> str:
    """Say for which rows the promised precision holds, to follow `with confidence 95%,`."""
    if split is None or split.kind == "hash":
        return "on fresh rows like the training rows"
    if split.kind == "group":
        return f"on fresh rows of other values of {split.column} than those trained on"
    return "on the rows that follow, as long as what links them to the target changes no more than so far"


def promise_limits(split: SplitFigures | None) -> list[str]:
    """List what a split says about the promise beyond its scope, in sentences."""
    if split is None or split.kind == "hash":
        return []
    if split.kind == "group":
        return [
            f"Rows of one {split.column} are not taken to be independent: where they are alike the bound "
            "counts the groups, and where they are not it counts rows. Such a bound is approximate: on fewer "
            "than some fifty groups among the positive decisions take its confidence as a guide.",
            f"The figures are of values of {split.column} that no model was trained on. Of those that come "
            "back nothing is promised; as a rule the model knows them better.",
        ]
    return [
        "By time, every fold was fitted on earlier rows than it scored, and the threshold rests on these "
        "scores. The models of the first folds learned from fewer rows than the final one. The bound counts "
        "rows as independent of each other. Nothing is claimed about a change that the training rows have "
        "not shown: the test part is one period, and the next one may differ more.",
    ]
