"""What the optimization stage writes down about a run's graphs, for the release and whoever serves."""

from __future__ import annotations

from typing import Any

import msgspec

from tabloop.artifacts.documents.document import FORMAT_VERSION


class ExportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `export_report.json` holds: new files, and candidates without an ONNX form with the reason."""

    written: tuple[str, ...]
    not_exported: dict[str, str]


class SelfTest(msgspec.Struct, frozen=True, kw_only=True):
    """What `self_test.json` holds: training rows and the probabilities that the trained model gave them."""

    columns: dict[str, list[Any]]
    probabilities: list[float]
    format_version: int = FORMAT_VERSION


class RowDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One row and both of its probabilities.

    Attributes
    ----------
    row : int
        Its place among the checked rows, from 0.
    values : dict of str to object
        The row's raw columns as JSON values.
    trained_probability, graph_probability : float or str
        By the pipeline and by the graph; a text where it is no finite number.
    decision_flipped : bool
        Whether the two lie on different sides of the threshold.
    """

    row: int
    values: dict[str, Any]
    trained_probability: float | str
    graph_probability: float | str
    decision_flipped: bool


class ParityReport(msgspec.Struct, frozen=True, kw_only=True):
    """How far a graph is from the pipeline that it was made of.

    Attributes
    ----------
    samples : int
        Rows checked.
    max_abs_diff, mean_abs_diff : float
        Of the probabilities, without excused rows. A probability that is not a number within [0, 1]
        counts as a difference of 1, the largest there is.
    decision_flips : int
        Rows decided differently, without excused ones.
    invalid_probabilities : int
        Rows whose probability, by either side, is not a number within [0, 1].
    abs_tol, mean_tol : float
        The largest and the mean difference that were tolerated.
    allow_flips : bool
        Whether flipped decisions were tolerated.
    threshold : float
        Rows are decided positive from this probability on.
    excused_ties : int
        Rows over a tolerance or flipped whose answer is decided by rounding alone; see
        `tabloop.optimization.parity.ties.tied_rows`.
    passed : bool
        Whether all of this is tolerable.
    worst_rows : tuple of RowDifference
        Up to five rows that differ, flipped and most different first.
    excused_rows : tuple of RowDifference
        Up to five of the excused ones.
    """

    samples: int
    max_abs_diff: float
    mean_abs_diff: float
    decision_flips: int
    invalid_probabilities: int
    abs_tol: float
    mean_tol: float
    allow_flips: bool
    threshold: float
    excused_ties: int
    passed: bool
    worst_rows: tuple[RowDifference, ...]
    excused_rows: tuple[RowDifference, ...] = ()


class RunParity(ParityReport, frozen=True, kw_only=True):
    """What `parity_report.json` holds: the parity of the graph that a run serves, by its file."""

    run_id: str
    model: str
    format_version: int = FORMAT_VERSION
