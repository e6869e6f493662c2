"""What of a run is a table: its candidates, and what differs from another run."""

from __future__ import annotations

import polars as pl

from tabloop.artifacts.documents.metrics import Metrics
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.run_diff import compare_runs

_RANKED = ("roc_auc", "average_precision", "brier_score", "precision", "recall", "f1", "fit_s")


def ranking_of(metrics: Metrics) -> pl.DataFrame:
    """Lay out the candidates with their cross-validated figures, the best first; null where one failed."""
    rows = [
        {"name": each.name, "kind": each.kind}
        | {name: _known(getattr(each, name)) for name in _RANKED}
        | {"failure": each.failure}
        for each in metrics.cv_ranking
    ]
    texts = dict.fromkeys(("name", "kind", "failure"), pl.String)
    return pl.DataFrame(rows, schema_overrides=texts | dict.fromkeys(_RANKED, pl.Float64))


def differences_of(first: RunFolder, second: RunFolder) -> pl.DataFrame:
    """Lay out what differs between two runs, as text."""
    rows = [
        {"what": name, "first": _text(pair.first), "second": _text(pair.second)}
        for name, pair in compare_runs(first, second).items()
    ]
    return pl.DataFrame(rows, schema=dict.fromkeys(("what", "first", "second"), pl.String))


def _known(figure: float) -> float | None:
    return None if figure != figure else figure


def _text(value: object) -> str | None:
    return None if value is None else str(value)
