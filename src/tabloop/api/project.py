"""A project as a person works with it: its runs, its champion, and what is done with the champion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabloop.api.frames import FrameKind, Table
from tabloop.api.progress import shown
from tabloop.api.project_config import ProjectConfig
from tabloop.api.run import Run
from tabloop.api.run_list import frame_of, runs
from tabloop.api.run_stages import publish_made, score
from tabloop.api.settings_in_force import settings_of
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.errors import ConfigError

if TYPE_CHECKING:
    from tabloop.api.drift_report import DriftReport
    from tabloop.api.monitor_report import MonitorReport
    from tabloop.api.service import Service
    from tabloop.artifacts.prediction_log.verify import LogReport
    from tabloop.outcomes.import_file import ImportReport
    from tabloop.retraining.retrain import RetrainingReport
    from tabloop.scoring.data_set import DataSetReport
    from tabloop.scoring.tables import ScoringReport
    from tabloop.streaming.simulation.simulate_stream import SimulationReport


class Project:
    """A config and its artifact folder: everything that a command does to the champion is a method.

    Parameters
    ----------
    where : path, default="artifacts"
        The folder that `tabloop.run` wrote to, or a `config.yaml`, or the folder that this one lies in.
    changes : mapping, optional
        Settings that hold for this object only, as after `--set`.
    kind : {"polars", "pandas", "arrow"}, default="polars"
        The kind of the frames that it gives.

    Raises
    ------
    ConfigError
        If there is no config, or a setting is wrong; all of them in one message.

    Examples
    --------
    >>> project = Project("artifacts", kind="pandas")
    >>> project.champion.released
    True
    >>> list(project.runs()["state"])
    ['passed', 'passed', 'open']
    >>> project.config["seed"]
    7
    """

    def __init__(
        self,
        where: str | Path = "artifacts",
        changes: Mapping[str, Any] | None = None,
        *,
        kind: FrameKind = "polars",
    ) -> None:
        self._settings = settings_of(where, changes)
        self._kind = kind

    @property
    def folder(self) -> Path:
        """The artifact folder."""
        return self._settings.model_dir

    @property
    def config(self) -> ProjectConfig:
        """Every setting in force, as a config that can be edited and trained with."""
        return ProjectConfig.of(self._settings)

    @property
    def champion(self) -> Run:
        """The run that is live; raises `ArtifactMissingError` if there is none yet."""
        return self._run(self._store.require_champion())

    def get(self, run_id: str) -> Run:
        """Find a run by its name, a beginning or end of it that no other has; `open` is the newest open one.

        Raises
        ------
        ArtifactMissingError
            If no run, or more than one, has such a name.
        """
        return self._run(self._store.newest_open() if run_id == "open" else self._store.get(run_id))

    def runs(self, where: str | None = None, *, sort: str | None = None) -> Any:
        """List its runs as a frame; see `tabloop.runs`."""
        return runs(self.folder, where, sort=sort, kind=self._kind)

    def prune(
        self,
        where: str | None = None,
        *,
        keep: int | None = None,
        older_than_days: float | None = None,
        yes: bool = False,
    ) -> Any:
        """Remove old runs by rule, or say which it would be: nothing is removed without `yes`.

        The champion, the five champions before it, the run of any other pointer, open runs, and runs that
        are tagged `keep` stay, whatever the rule.

        Parameters
        ----------
        where : str, optional
            Only runs of which this is true, as `tabloop.runs` takes it.
        keep : int, optional
            All but so many of the newest; where nothing else is said, `artifacts.keep_runs`.
        older_than_days : float, optional
            Only older ones.
        yes : bool, default=False
            Remove them.

        Returns
        -------
        pruned : frame
            As `tabloop.runs` gives it, of what is or would be removed.

        Examples
        --------
        >>> project = Project("artifacts")
        >>> project.prune(keep=1).height  # the one before is a champion to go back to
        0
        """
        from tabloop.release.prune import PruningRule, plan_pruning, prune_by_rule

        rule = PruningRule(where, keep, older_than_days).with_default(self._settings.config)
        store = self._store
        removed = prune_by_rule(store, rule, self._settings.config) if yes else plan_pruning(store, rule)
        return frame_of(removed, self._kind)

    def rollback(self, run_id: str | None = None) -> Run:
        """Go back to the champion before this one, or to the run named, by the same atomic swap.

        Raises
        ------
        ArtifactError
            If there is no earlier champion, or the run never passed its gates or no longer loads.

        Examples
        --------
        >>> project = Project("artifacts")
        >>> before = project.champion.run_id
        >>> project.rollback().run_id < before
        True
        """
        from tabloop.release.rollback import rollback

        folder = rollback(self._settings, run_id)
        publish_made(self._settings, folder)
        return self._run(folder)

    def calibrate(
        self,
        *,
        release: bool = True,
        allow_infeasible: bool = False,
        progress: bool | None = None,
        **business: object,
    ) -> Run:
        """Give the champion's model another threshold, without training; see `Run.calibrate`.

        Parameters
        ----------
        release : bool, default=True
            Judge the new run and let it go live; otherwise it stays open.
        allow_infeasible : bool, default=False
            Let it go live although its promise cannot be kept while that of the champion can.
        progress : bool, optional
            Whether to show it; by default in a notebook and on a terminal.
        **business : object
            Settings of the section `business` that differ from those in force.

        Returns
        -------
        run : Run
            The new one; `released` says whether every gate let it out.

        Examples
        --------
        >>> Project("artifacts").calibrate(choose="capacity", capacity=100, release=False).state
        'open'
        """
        return self.champion.calibrate(
            release=release, allow_infeasible=allow_infeasible, progress=progress, **business
        )

    def score(
        self,
        source: str | Path | None = None,
        output: str | Path | None = None,
        *,
        sink: bool = False,
        reasons: int = 0,
        run: str | None = None,
        progress: bool | None = None,
    ) -> ScoringReport | DataSetReport:
        """Score a file, table or data set, in bounded memory; for frames there is `Model.decide`.

        Parameters
        ----------
        source : path, optional
            A CSV or Parquet file, or `table:NAME` of the configured database; by default `data.source`.
            Into a folder also a folder, a pattern, or a URL.
        output : path, optional
            A .csv or .parquet file; refused rows go beside it, to `OUTPUT.quarantine.jsonl`. Or a folder,
            also at a URL: each file becomes parts, and what is there of an earlier, killed call stays.
        sink : bool, default=False
            Write to the table of `scoring.sink` instead.
        reasons : int, default=0
            How many columns to name that spoke most for each decision, in a file.
        run : str, optional
            A run other than the champion; it must have passed.
        progress : bool, optional
            Whether to show it; by default in a notebook and on a terminal.

        Returns
        -------
        report : ScoringReport or DataSetReport
            The second of a folder; its `manifest` lists the parts.

        Raises
        ------
        QuarantineLimitError
            If more rows are refused than the config allows; the others are scored all the same.

        Examples
        --------
        >>> report = Project("artifacts").score("rows.csv", "scored.parquet")
        >>> report.rows_scored, report.quarantine.rows
        (600, 0)
        >>> Project("artifacts").score("rows.csv", "scored").manifest.rows_scored
        600
        """
        if sink == (output is not None):
            raise ConfigError("score: give either an output or sink=True")
        if sink and reasons:
            raise ConfigError("score: reasons go into a file; give an output")
        return score(self._settings, run, source, output, reasons, progress)

    def serve(
        self, *, host: str = "127.0.0.1", port: int = 0, workers: int = 1, key: str | None = None
    ) -> Service:
        """Serve the champion over HTTP: `with project.serve() as service: service.predict(frame)`.

        Parameters
        ----------
        host : str, default="127.0.0.1"
            Where to listen; this machine only, unless told.
        port : int, default=0
            0 takes a free one.
        workers : int, default=1
            Processes that answer.
        key : str, optional
            What the returned object sends where `serving` asks for API keys.

        Returns
        -------
        service : Service
            Ready. `service.stop()`, the end of the `with` block, or the end of this process stops it.

        Raises
        ------
        ServingError
            If it cannot start: no champion, no free port.

        Examples
        --------
        >>> import polars as pl
        >>> with Project("artifacts").serve() as service:
        ...     decisions = service.predict(pl.read_csv("rows.csv").head(2))
        >>> decisions.height, service.is_running
        (2, False)
        """
        from tabloop.api.service import Service

        return Service(self._settings, host=host, port=port, workers=workers, key=key)

    def monitor(self) -> MonitorReport:
        """Say how the champion is doing: drift, performance, and whether to retrain.

        All of it is computed from the prediction log and the outcomes; no service has to run.

        Returns
        -------
        report : MonitorReport

        Examples
        --------
        >>> report = Project("artifacts").monitor()
        >>> report.drift.rule.enough_samples, report.retraining.should_retrain
        (False, False)
        """
        from tabloop.api.monitor_report import monitor

        return monitor(self._settings)

    def drift(self, log: str | Path | None = None, *, run: str | None = None) -> DriftReport:
        """Recompute drift from a prediction log, whenever its rows were served.

        Parameters
        ----------
        log : path, optional
            A file or a folder; by default the project's own.
        run : str, optional
            The run whose rows are compared; by default the champion.

        Returns
        -------
        report : DriftReport

        Examples
        --------
        >>> import polars as pl
        >>> project = Project("artifacts")
        >>> with project.serve() as service:
        ...     _ = service.predict(pl.read_csv("rows.csv").with_columns(minutes=pl.lit(399.0)))
        >>> report = project.drift()
        >>> report.rows, report.rule.prediction_shift
        (600, True)
        """
        from tabloop.api.drift_report import drift

        folder = self._store.get_or_champion(run)
        return drift(self._settings, folder, Path(log or self.folder))

    def feedback_import(self, outcomes: Table, *, quarantine: str | Path | None = None) -> ImportReport:
        """Take what became of predictions.

        Parameters
        ----------
        outcomes : frame or path
            With `prediction_id`, `label` (or the target's name) and, if known, `time`. A path is that of a
            CSV, Parquet or JSON lines file.
        quarantine : path, optional
            Where refused rows go, as JSON lines.

        Returns
        -------
        report : ImportReport

        Raises
        ------
        QuarantineLimitError
            If more rows are refused than the config allows; nothing is taken then.

        Examples
        --------
        >>> import polars as pl
        >>> project = Project("artifacts")
        >>> with project.serve() as service:
        ...     decisions = service.predict(pl.read_csv("rows.csv").head(3))
        >>> outcomes = decisions.select("prediction_id", label=pl.lit(1))
        >>> project.feedback_import(outcomes).count.new
        3
        """
        from tabloop.api.feedback import feedback_import

        return feedback_import(self._settings, outcomes, quarantine)

    def retrain(
        self, *, if_triggered: bool = False, dry_run: bool = False, progress: bool | None = None
    ) -> RetrainingReport:
        """Train a challenger on reference data and outcomes; it goes live if it is at least as good.

        Parameters
        ----------
        if_triggered : bool, default=False
            Only when a trigger fires; otherwise the report says why not.
        dry_run : bool, default=False
            Decide the same and change nothing.
        progress : bool, optional
            Whether to show it; by default in a notebook and on a terminal.

        Returns
        -------
        report : RetrainingReport
            `promoted` tells whether the challenger is the champion now. A refusal is an answer, no error.

        Examples
        --------
        >>> report = Project("artifacts").retrain(if_triggered=True)
        >>> report.promoted, report.decision.should_retrain
        (False, False)
        """
        from tabloop.monitoring.run_monitor import monitor_evidence
        from tabloop.retraining.retrain import retrain

        with shown(progress) as watcher:
            report = retrain(
                self._settings,
                watcher,
                if_triggered_by=monitor_evidence if if_triggered else None,
                dry_run=dry_run,
            )
        if report.release is not None and not dry_run:
            publish_made(self._settings, self._store.get(report.release.run_id))
        return report

    def stream_simulate(self, *, progress: bool | None = None, **wanted: Any) -> SimulationReport:
        """Put a made-up load on an in-process broker and measure.

        It takes what `tabloop stream --simulate` takes, such as ``rate_rows_per_s=500.0, duration_s=1.0``.
        """
        from tabloop.streaming.simulation.simulate_stream import SimulationPlan, simulate_stream

        with shown(progress) as watcher:
            return simulate_stream(self._settings, SimulationPlan(**wanted), watcher)

    def log_verify(self, path: str | Path | None = None) -> LogReport:
        """Check that every line of the prediction log is whole and every row there once.

        Raises
        ------
        LogDamagedError
            If lines are broken, missing or there twice; the message names them.

        Examples
        --------
        >>> Project("artifacts").log_verify().rows
        0
        """
        from tabloop.artifacts.prediction_log.verify import require_whole_log, verify_log

        place = self.folder if path is None else Path(path)
        report = verify_log(place)
        require_whole_log(place, report)
        return report

    @property
    def _store(self) -> RunStore:
        return RunStore(self.folder)

    def _run(self, folder: RunFolder) -> Run:
        return Run(folder, self._kind, self._settings)

    def __repr__(self) -> str:
        champion = self._store.champion_name() or "none yet"
        return f"<Project {self.folder}: {len(self._store.runs())} runs, champion {champion}>"
