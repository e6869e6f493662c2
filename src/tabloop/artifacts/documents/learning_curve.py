"""What `learning_curve.json` holds: figures over growing samples, and what more rows would bring."""

from __future__ import annotations

from typing import Literal

import msgspec

from tabloop.artifacts.documents.document import FORMAT_VERSION


class LearningPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One size of sample.

    Attributes
    ----------
    rows : int
        Rows that each fold's model was fitted on, on average.
    roc_auc : float
        The ROC-AUC of the out-of-fold scores of all training rows.
    interval : (float, float)
        Two-sided, 95%.
    """

    rows: int
    roc_auc: float
    interval: tuple[float, float]


class LearningCurve(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate's figures over growing samples.

    Attributes
    ----------
    run_id, candidate : str
        The run whose rows and settings were used, and the candidate.
    points : tuple of LearningPoint
        From few rows to all.
    gain : float
        ROC-AUC at all rows less that at half of them.
    gain_interval : (float, float)
        Two-sided, 95%, of the paired difference.
    verdict : {"would_help", "would_not_help", "cannot_tell"}
        Whether more rows would help.
    sentence : str
        The verdict in words.
    """

    run_id: str
    candidate: str
    points: tuple[LearningPoint, ...]
    gain: float
    gain_interval: tuple[float, float]
    verdict: Literal["would_help", "would_not_help", "cannot_tell"]
    sentence: str
    format_version: int = FORMAT_VERSION
