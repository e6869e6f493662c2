"""A run as a person works with it: figures, verdicts and its model, typed, and readable in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from tabloop.api import run_stages
from tabloop.api.frames import FrameKind, as_kind
from tabloop.api.run_frames import differences_of, ranking_of
from tabloop.api.run_html import run_html
from tabloop.api.run_metrics import ModelCard, RunMetrics
from tabloop.api.settings_in_force import settings_of_run
from tabloop.artifacts.documents.gates import Gate
from tabloop.artifacts.documents.manifest import RunState
from tabloop.artifacts.layout import METRICS
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.run_notes import NoteBook, RunNotes
from tabloop.config.config import Config
from tabloop.config.loading import Project as Settings
from tabloop.contract.contract import Contract

if TYPE_CHECKING:
    from tabloop.api.model import Model
    from tabloop.artifacts.documents.benchmark import BenchmarkReport
    from tabloop.artifacts.documents.graphs import ExportReport, RunParity
    from tabloop.artifacts.documents.quantize import QuantizeReport
    from tabloop.artifacts.documents.tradeoffs import TradeoffReport
    from tabloop.publishing.report import PublishReport
    from tabloop.release.release import ReleaseDecision

Report = TypeVar("Report")


class Run:
    """One run: open while its stages write, then sealed for good.

    `train` and `run` make one; `Run(path)` opens one that is there, `Project.get` finds one by its name.

    Parameters
    ----------
    folder : RunFolder or path
        The run's folder.
    kind : {"polars", "pandas", "arrow"}, default="polars"
        The kind of the frames that it gives.
    settings : tabloop.config.loading.Project, optional
        What its stages and its release go by; by default the `config.yaml` beside its artifact folder or
        in it.

    Examples
    --------
    >>> run = Run("artifacts/champion", "pandas")
    >>> run.state, run.metrics.best_model_name, list(run.ranking["name"])
    ('passed', 'decision_tree', ['decision_tree'])
    >>> 0 < run.threshold < 1
    True
    """

    def __init__(
        self, folder: RunFolder | str | Path, kind: FrameKind = "polars", settings: Settings | None = None
    ) -> None:
        self.folder = folder if isinstance(folder, RunFolder) else RunFolder(Path(folder).resolve())
        self._kind = kind
        self._settings = settings

    @property
    def run_id(self) -> str:
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
        return as_kind(ranking_of(self.metrics), self._kind)

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

    def rows(self, part: Literal["train", "test"] = "test") -> Any:
        """Read again what it was trained on, or reported on, as a frame; the target is 0 or 1.

        Examples
        --------
        >>> Run("artifacts/champion").rows("train").columns
        ['minutes', 'bought']
        """
        return as_kind(run_stages.rows(self._in_force(), self.folder, part), self._kind)

    def model(self) -> Model:
        """Load its model; raises `ArtifactError` where nothing was exported, as after `train`."""
        from tabloop.api.model import load

        return load(self.path)

    def export(self, *, progress: bool | None = None) -> ExportReport:
        """Write `model.onnx`: raw columns in, probability out.

        Parameters
        ----------
        progress : bool, optional
            Whether to show it; by default in a notebook and on a terminal.

        Returns
        -------
        report : ExportReport
            What has a graph, and why others have none.

        Raises
        ------
        ArtifactError
            If the run is sealed, or exported already.
        ExportError
            If there is no exact graph of the winner.

        Examples
        --------
        >>> import tabloop as tl
        >>> run = tl.Project("artifacts").get("open")
        >>> run.export().not_exported
        {}
        """
        return self._after(run_stages.export(self._in_force(), self.folder, progress))

    def quantize(self, *, progress: bool | None = None) -> QuantizeReport:
        """Try 8 bits on every exported model, and say what they bring.

        Examples
        --------
        >>> Run("artifacts/champion").quantize().served
        'onnx_fp32'
        """
        return self._after(run_stages.quantize(self._in_force(), self.folder, progress))

    def parity(self, *, progress: bool | None = None) -> RunParity:
        """Compare the graph that is served with the trained model.

        Parameters
        ----------
        progress : bool, optional
            As for `export`.

        Returns
        -------
        report : RunParity
            `passed` says whether they agree.

        Examples
        --------
        >>> report = Run("artifacts/champion").parity()
        >>> report.passed, report.decision_flips
        (True, 0)
        """
        return self._after(run_stages.parity(self._in_force(), self.folder, progress))

    def benchmark(self, *, full: bool = False, progress: bool | None = None) -> BenchmarkReport:
        """Measure scikit-learn, ONNX and INT8 side by side, every figure with its interval.

        Parameters
        ----------
        full : bool, default=False
            Every variant at every batch size, which takes minutes.
        progress : bool, optional
            As for `export`.

        Returns
        -------
        report : BenchmarkReport
            One of `variants` for each candidate and format.

        Examples
        --------
        >>> run = Run("artifacts/champion")
        >>> sorted({each.kind for each in run.benchmark().variants})
        ['onnx_fp32', 'onnx_int8', 'sklearn']
        >>> len(run.tradeoffs().points)
        3
        """
        return self._after(run_stages.benchmark(self._in_force(), self.folder, progress, full=full))

    def tradeoffs(self) -> TradeoffReport:
        """Find the variants that no other beats; `benchmark` has measured them.

        Returns
        -------
        report : TradeoffReport
            Plots and a page are written beside the run.
        """
        return self._after(run_stages.tradeoffs(self.folder))

    def release(self, *, dry_run: bool = False, allow_infeasible: bool = False) -> ReleaseDecision:
        """Judge the run, seal it, and make it the champion if every gate holds.

        Parameters
        ----------
        dry_run : bool, default=False
            Judge only: nothing is sealed, nothing goes live.
        allow_infeasible : bool, default=False
            Let a run whose promise is infeasible replace a champion that keeps its promise.

        Returns
        -------
        decision : ReleaseDecision
            `promoted`, and each of `gates` with its reason. A refusal is an answer, no error.

        Raises
        ------
        ArtifactError
            If a stage is missing, or the run was refused before.

        Examples
        --------
        >>> Run("artifacts/champion").release(dry_run=True).passed
        True
        """
        decision = run_stages.release(
            self._in_force(), self.folder, dry_run=dry_run, allow_infeasible=allow_infeasible
        )
        return self._after(decision)

    def calibrate(
        self,
        *,
        release: bool = True,
        allow_infeasible: bool = False,
        progress: bool | None = None,
        **business: object,
    ) -> Run:
        """Give its model another threshold, without training, as `tabloop calibrate` does.

        Parameters
        ----------
        release : bool, default=True
            Judge the new run and let it go live; otherwise it stays open.
        allow_infeasible : bool, default=False
            As for `release`.
        progress : bool, optional
            As for `export`.
        **business : object
            Settings of the section `business` that differ from those in force.

        Returns
        -------
        run : Run
            The new one; `released` says whether every gate let it out.

        Raises
        ------
        ConfigError
            If a setting is wrong, or nothing differs from what the run was calibrated with.
        ArtifactError
            If the run lacks a stage.
        InfeasibleError
            If nothing can be promised and `on_infeasible` is `fail`.

        Examples
        --------
        >>> run = Run("artifacts/champion").calibrate(choose="recall", target_recall=0.7, release=False)
        >>> run.state, run.metrics.calibration.promise.objective
        ('open', 'recall')
        """
        made = run_stages.calibrate(
            self._in_force(),
            self.folder,
            business,
            release_it=release,
            allow_infeasible=allow_infeasible,
            progress=progress,
        )
        return Run(made, self._kind, self._in_force())

    def reproduce(self, *, retrain: bool = False, progress: bool | None = None) -> int:
        """Check every hash of the run, its data and its lineage.

        Parameters
        ----------
        retrain : bool, default=False
            Train again and demand the same metrics and predictions.
        progress : bool, optional
            As for `export`.

        Returns
        -------
        n_files : int
            Hashes that are right; all are.

        Raises
        ------
        HashMismatchError, NotReproducedError
            If anything is not as it was recorded; all of it named.

        Examples
        --------
        >>> Run("artifacts/champion").reproduce() > 10
        True
        """
        report = run_stages.reproduce(self._in_force(), self.folder, progress, retrain=retrain)
        return report.files_checked

    def report(self, path: str | Path, *, compare: Run | None = None, progress: bool | None = None) -> Path:
        """Write its report to a path that ends with `.html`, `.md` or `.pdf`, another run beside it if given.

        Examples
        --------
        >>> Run("artifacts/champion").report("report.html").stat().st_size < 3_000_000
        True
        """
        other = None if compare is None else compare.folder
        return run_stages.report(self._in_force(), self.folder, Path(path), other, progress)

    def log_to_mlflow(self) -> PublishReport:
        """Show the run on the MLflow server of the config, as `tabloop publish --to mlflow` does.

        Raises
        ------
        ConfigError, PublishingError
            If no server is named, or it does not answer, or refuses.

        Examples
        --------
        >>> Run("artifacts/champion").log_to_mlflow()
        Traceback (most recent call last):
        tabloop.errors.ConfigError: ...publishing.mlflow.tracking_uri is not set, ...
        """
        from tabloop.publishing.mlflow import publish_run

        return publish_run(self._in_force(), self.folder)

    def diff(self, other: Run) -> Any:
        """Compare it with another run: settings, data, figures.

        Parameters
        ----------
        other : Run
            Trained, as this one is.

        Returns
        -------
        differences : frame
            `what` differs, here (`first`) and there (`second`), as text.

        Examples
        --------
        >>> import tabloop as tl
        >>> project = tl.Project("artifacts")
        >>> "config.seed" in project.champion.diff(project.get("open"))["what"].to_list()
        True
        """
        return as_kind(differences_of(self.folder, other.folder), self._kind)

    @property
    def notes(self) -> tuple[str, ...]:
        """What people noted of it, the oldest first."""
        return self._said().notes

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags; a run that is tagged `keep` is never removed."""
        return self._said().tags

    def note(self, text: str) -> None:
        """Note something of the run, sealed or not: it is kept beside it.

        Examples
        --------
        >>> run = Run("artifacts/champion")
        >>> run.note("the one with the prices of March")
        >>> run.tag("baseline")
        >>> run.notes, run.tags
        (('the one with the prices of March',), ('baseline',))
        """
        self._note_book.note(self.run_id, text)

    def tag(self, *tags: str, remove: bool = False) -> None:
        """Put tags on the run, or take them off; `tabloop.runs` finds runs by them."""
        self._note_book.tag(self.run_id, list(tags), remove=remove)

    @property
    def _note_book(self) -> NoteBook:
        return NoteBook(self.path.parents[1])

    def _said(self) -> RunNotes:
        return self._note_book.read().get(self.run_id, RunNotes())

    def _in_force(self) -> Settings:
        if self._settings is None:
            self._settings = settings_of_run(self.path)
        return self._settings

    def _after(self, report: Report) -> Report:
        """Look at the folder again, into which a stage has written."""
        self.folder = RunFolder(self.path)
        return report

    def __repr__(self) -> str:
        if not self.folder.is_trained:
            return f"<Run {self.run_id}: {self.state}, not trained>"
        metrics = self.metrics
        said = f"{metrics.best_model_name}, test ROC-AUC {metrics.roc_auc:.4f}"
        return f"<Run {self.run_id}: {self.state}, {said}>"

    def _repr_html_(self) -> str:
        return run_html(self.folder, self.metrics if self.folder.is_trained else None)
