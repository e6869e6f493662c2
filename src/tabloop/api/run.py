"""A run as a person works with it: figures, verdicts and its model, typed, and readable in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from tabloop.api.frames import FrameKind, as_kind
from tabloop.api.html import table, titled
from tabloop.artifacts.documents.gates import Gate
from tabloop.artifacts.documents.manifest import RunState
from tabloop.artifacts.documents.metrics import Metrics
from tabloop.artifacts.layout import METRICS
from tabloop.artifacts.run import RunFolder
from tabloop.config.config import Config
from tabloop.contract.contract import Contract

if TYPE_CHECKING:
    from tabloop.api.model import Model

_RANKED = ("roc_auc", "average_precision", "brier_score", "precision", "recall", "f1", "fit_s")


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


class Run:
    """One run: open while its stages write, then sealed for good.

    `train` and `run` make one; `Run(path)` opens one that is there.

    Parameters
    ----------
    folder : RunFolder or path
        The run's folder.
    kind : {"polars", "pandas", "arrow"}, default="polars"
        Of the frames that it gives.
    """

    def __init__(self, folder: RunFolder | str | Path, kind: FrameKind = "polars") -> None:
        self.folder = folder if isinstance(folder, RunFolder) else RunFolder(Path(folder).resolve())
        self._kind = kind

    @property
    def id(self) -> str:
        """The run's name; later runs sort after earlier ones."""
        return self.folder.run_id

    @property
    def path(self) -> Path:
        """Where its files are."""
        return self.folder.path

    @property
    def state(self) -> RunState:
        """`open`, or sealed as `passed` or `refused`."""
        return self.folder.state

    @property
    def released(self) -> bool:
        """Whether every gate let it out."""
        return self.state == "passed"

    @property
    def gates(self) -> tuple[Gate, ...]:
        """Each gate's verdict with its reason and evidence; none while the run is open."""
        return () if self.state == "open" else self.folder.gates.gates

    @property
    def metrics(self) -> RunMetrics:
        """What it is worth on the test rows, and the promise from the training rows."""
        return self.folder.read_as(RunMetrics, METRICS)

    @property
    def threshold(self) -> float:
        """Decisions are `probability >= threshold`."""
        return self.folder.threshold

    @property
    def ranking(self) -> Any:
        """The candidates with their cross-validated figures, the best first, as a frame."""
        rows = [
            {"name": each.name, "kind": each.kind}
            | {name: _known(getattr(each, name)) for name in _RANKED}
            | {"failure": each.failure}
            for each in self.metrics.cv_ranking
        ]
        texts = dict.fromkeys(("name", "kind", "failure"), pl.String)
        types = texts | dict.fromkeys(_RANKED, pl.Float64)
        return as_kind(pl.DataFrame(rows, schema_overrides=types), self._kind)

    @property
    def card(self) -> ModelCard:
        """What a person should know of the model."""
        return ModelCard(self.folder.model_card)

    @property
    def config(self) -> Config:
        """The settings that it was made with."""
        return self.folder.config

    @property
    def contract(self) -> Contract:
        """What a valid row is."""
        return self.folder.contract

    def model(self) -> Model:
        """Load its model; raises `ArtifactError` where nothing was exported, as after `train`."""
        from tabloop.api.model import load

        return load(self.path)

    def __repr__(self) -> str:
        if not self.folder.is_trained:
            return f"<Run {self.id}: {self.state}, not trained>"
        metrics = self.metrics
        return f"<Run {self.id}: {self.state}, {metrics.best_model_name}, test ROC-AUC {metrics.roc_auc:.4f}>"

    def _repr_html_(self) -> str:
        if not self.folder.is_trained:
            return titled(f"run {self.id}", f"{self.state}, its training did not finish")
        metrics = self.metrics
        promise = metrics.calibration
        what = "is" if promise.feasible else f"cannot be; {promise.promised_precision:.3f} is"
        said = (
            f"{self.state}; {metrics.best_model_name} at a probability of {self.threshold:.4f}; a precision "
            f"of {promise.target_precision:g} {what} promised with confidence {promise.confidence:g}"
        )
        ranking = table(
            ["candidate", "ROC-AUC", "avg. precision", "Brier", "fit, s"],
            [
                [each.name, each.roc_auc, each.average_precision, each.brier_score, each.fit_s]
                if each.failure is None
                else [each.name, "failed: " + each.failure.splitlines()[0][:60], "", "", ""]
                for each in metrics.cv_ranking
            ],
        )
        gates = [[gate.name, gate.passed, gate.reason] for gate in self.gates]
        judged = table(["gate", "passed", "why"], gates) if gates else ""
        return titled(f"run {self.id}", said, ranking, metrics._repr_html_(), judged)


def _known(figure: float) -> float | None:
    return None if figure != figure else figure
