"""What `evaluation.json` holds: the served model on the test rows, curve by curve and segment by segment."""

from __future__ import annotations

import msgspec

from tabloop.artifacts.documents.document import FORMAT_VERSION


class RatePoint(msgspec.Struct, frozen=True, kw_only=True):
    """One threshold of a curve: decisions are `score >= threshold`.

    Attributes
    ----------
    threshold : float
        The cut.
    predicted_positive_rows : int
        Rows at or above it.
    predicted_positive_share : float or None
        Of all rows, weighted where they have weights; None where an older version measured.
    true_positive_rate, false_positive_rate, precision : float
        The rates and the precision of the decisions; the first rate is the recall.
    true_positive_interval, precision_interval : (float, float)
        Two-sided 95% Clopper-Pearson intervals; approximate, by effective counts, where rows have groups or
        weights.
    """

    threshold: float
    predicted_positive_rows: int
    true_positive_rate: float
    false_positive_rate: float
    precision: float
    true_positive_interval: tuple[float, float]
    precision_interval: tuple[float, float]
    predicted_positive_share: float | None = None


class ReliabilityBin(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of neighbouring scores: the mean probability, and how many were positive, with a 95% interval."""

    rows: int
    mean_probability: float
    observed_rate: float
    interval: tuple[float, float]


class ScoreHistogram(msgspec.Struct, frozen=True, kw_only=True):
    """Test rows by probability, in bins of equal width over [0, 1]; counted, whatever they weigh."""

    edges: tuple[float, ...]
    negative_rows: tuple[int, ...]
    positive_rows: tuple[int, ...]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of the confusion table: test rows, and what they make of 1,000 rows, with a 95% interval.

    The first is a count, the others are weighted where rows have weights.
    """

    rows: int
    per_1000: float
    interval: tuple[float, float]


class Confusion(msgspec.Struct, frozen=True, kw_only=True):
    """The decisions at the threshold against what was true."""

    threshold: float
    true_positive: Outcome
    false_positive: Outcome
    false_negative: Outcome
    true_negative: Outcome


class BoundedFigure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of the test rows, with its two-sided 95% interval."""

    value: float
    interval: tuple[float, float]


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """Test rows that share a value of one column, or whose number lies in one band.

    Attributes
    ----------
    column, value : str
        Which rows; a value that is missing is the empty text. Of a band, its ends in words.
    rows, positive_rows, predicted_positive_rows : int
        Counts.
    precision, recall, roc_auc : float or None
        None where no row counts towards it.
    precision_interval, recall_interval, roc_auc_interval : (float, float) or None
        Two-sided 95%.
    is_small : bool
        Whether fewer than 30 rows or 5 positives stand behind it.
    is_band : bool
        Whether the column holds numbers, and these rows lie in `low` < number <= `high`; None is open.
    low, high : float or None
        Quartiles of the training rows; of a moment in seconds since 1970.
    """

    column: str
    value: str
    rows: int
    positive_rows: int
    predicted_positive_rows: int
    precision: float | None
    recall: float | None
    roc_auc: float | None
    precision_interval: tuple[float, float] | None
    recall_interval: tuple[float, float] | None
    roc_auc_interval: tuple[float, float] | None
    is_small: bool
    is_band: bool = False
    low: float | None = None
    high: float | None = None


class CandidateComparison(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate over the folds, alone and against the winner; None where two folds are missing.

    Attributes
    ----------
    name : str
        The candidate.
    roc_auc : float
        Mean over the folds.
    interval : (float, float) or None
        95%, of the mean.
    difference : float
        Its ROC-AUC less the winner's, on the same folds.
    difference_interval : (float, float) or None
        95%, of the difference.
    """

    name: str
    roc_auc: float
    interval: tuple[float, float] | None
    difference: float
    difference_interval: tuple[float, float] | None


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The served model on the test rows.

    Attributes
    ----------
    model : str
        The graph that scored them.
    rows, positive_rows : int
        The numbers of rows and positive rows in the test part.
    curve : tuple of RatePoint
        From the highest threshold down, at most some 200.
    reliability : tuple of ReliabilityBin
        Up to ten, of about equally many rows.
    histogram : ScoreHistogram
        Scores by class.
    confusion : Confusion
        The four counts at the decision threshold.
    segments : tuple of Segment
        The commonest values of categories, and truth values, by column, then by rows; then bands of numbers.
    segments_left_out : int
        Values of categories that are not listed.
    candidates : tuple of CandidateComparison
        In the order of the ranking, without those that failed.
    figures : dict of str to BoundedFigure
        Average precision, F1, Brier score and calibration error; less where an older version measured.
    positive_share : float or None
        Of the test part, weighted where rows have weights; None where an older version measured.
    weight_column : str or None
        By which rates and figures are weighted; counts are of rows all the same.
    """

    model: str
    rows: int
    positive_rows: int
    curve: tuple[RatePoint, ...]
    reliability: tuple[ReliabilityBin, ...]
    histogram: ScoreHistogram
    confusion: Confusion
    segments: tuple[Segment, ...]
    segments_left_out: int
    candidates: tuple[CandidateComparison, ...]
    figures: dict[str, BoundedFigure] = msgspec.field(default_factory=dict)
    positive_share: float | None = None
    weight_column: str | None = None
    format_version: int = FORMAT_VERSION
