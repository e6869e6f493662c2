"""What a run is worth and its model card, as a notebook shows them."""

from __future__ import annotations

from tabloop.api.html import table, titled
from tabloop.artifacts.documents.metrics import Metrics


class RunMetrics(Metrics, frozen=True, kw_only=True):
    """What a run is worth; see `tabloop.artifacts.documents.metrics.Metrics`."""

    def _repr_html_(self) -> str:
        rows = []
        for name in ("roc_auc", "average_precision", "brier_score", "accuracy", "precision", "recall", "f1"):
            low, high = self.intervals.get(name, (None, None))
            rows.append([name, getattr(self, name), "" if low is None else f"{low:.4f} to {high:.4f}"])
        said = f"{self.best_model_name} on {self.test_rows:,} test rows"
        return titled("metrics", said, table(["", "test rows", "95% interval"], rows))


class ModelCard(str):
    """The model card in Markdown; a notebook shows it rendered."""

    __slots__ = ()

    def _repr_markdown_(self) -> str:
        return str(self)
