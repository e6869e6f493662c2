"""What `explanation.json` holds: which columns a model leans on, and how its probability moves with them."""

from __future__ import annotations

import msgspec

from tabloop.artifacts.documents.document import FORMAT_VERSION


class Importance(msgspec.Struct, frozen=True, kw_only=True):
    """What the ROC-AUC loses on the test rows when one column is shuffled, with a 95% interval."""

    column: str
    loss: float
    interval: tuple[float, float]


class DependencePoint(msgspec.Struct, frozen=True, kw_only=True):
    """The mean probability of the rows when all hold one value, with a 95% interval of that mean.

    Attributes
    ----------
    value : float or None
        A number; seconds since 1970 of a timestamp; None of a category.
    text : str
        How it reads.
    probability : float
        The mean.
    interval : (float, float)
        The interval, from the spread over the rows.
    """

    value: float | None
    text: str
    probability: float
    interval: tuple[float, float]


class PartialDependence(msgspec.Struct, frozen=True, kw_only=True):
    """How the mean probability moves with one column, all others left as they are."""

    column: str
    is_category: bool
    points: tuple[DependencePoint, ...]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Which columns a model leans on.

    Attributes
    ----------
    model : str
        The graph.
    test_rows, sampled_rows, dependence_rows : int
        Rows of the test part, rows drawn of them for the importances, and rows behind each dependence.
    repeats : int
        Shuffles of each column.
    roc_auc : float
        The ROC-AUC on the rows drawn, with nothing shuffled.
    importances : tuple of Importance
        The columns that the model reads, the largest loss first.
    columns_left_out : int
        How many of a wide table were not measured: those that tell least about the probability.
    dependences : tuple of PartialDependence
        The partial dependences on the first few of them.
    """

    model: str
    test_rows: int
    sampled_rows: int
    dependence_rows: int
    repeats: int
    roc_auc: float
    importances: tuple[Importance, ...]
    dependences: tuple[PartialDependence, ...]
    columns_left_out: int = 0
    format_version: int = FORMAT_VERSION
