"""Retrain, on a trigger or by hand: train a challenger that goes live if it is at least as good."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from tabloop.artifacts.documents.document import json_values
from tabloop.artifacts.documents.retraining import RetrainingRecord
from tabloop.artifacts.files import locked
from tabloop.artifacts.layout import CHAMPION, DECISIONS, FEEDBACK, FEEDBACK_QUARANTINE, RETRAINING_LOCK, RUNS
from tabloop.artifacts.reports import write_report
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.artifacts.temporary import scratch_folder
from tabloop.config.config import Config
from tabloop.config.loading import Project
from tabloop.errors import GateRefusedError, NothingToJudgeError
from tabloop.lifecycle.run_all import run_all
from tabloop.progress import Progress
from tabloop.release.prune import prune_datasets
from tabloop.release.release import ReleaseDecision
from tabloop.retraining.challenger_gates import challenger_gates
from tabloop.retraining.data import RetrainingData, build_retraining_data, challenger_project
from tabloop.retraining.evidence import RetrainingEvidence, retraining_history
from tabloop.retraining.trigger import RetrainingDecision, decide_retraining

#: Gives what is known of the champion's rows.
Gather = Callable[[Project, RunFolder], RetrainingEvidence]


@dataclass(frozen=True)
class RetrainingReport:
    """What became of a retraining.

    Attributes
    ----------
    champion_run_id : str
        The champion when it began.
    dry_run : bool
        Whether nothing was changed.
    decision : RetrainingDecision or None
        What the triggers said; None where nobody asked them.
    retraining : RetrainingRecord or None
        What the challenger was made of and judged on; None where none was trained.
    release : ReleaseDecision or None
        The gates' decision on the challenger.
    """

    champion_run_id: str
    dry_run: bool
    decision: RetrainingDecision | None
    retraining: RetrainingRecord | None = None
    release: ReleaseDecision | None = None

    @property
    def promoted(self) -> bool:
        """Whether the challenger passed every gate: it is the champion, or would be."""
        return self.release is not None and self.release.promoted

    def to_dict(self) -> dict[str, object]:
        """Describe the report as plain JSON values."""
        release = self.release
        described = {
            "champion_run_id": self.champion_run_id,
            "dry_run": self.dry_run,
            "retrained": release is not None,
            "promoted": self.promoted,
            "run_id": None if release is None else release.run_id,
            "trigger": self.decision,
            "retraining": self.retraining,
            "gates": () if release is None else release.gates,
        }
        return json_values(described)


def decide(project: Project, gather: Gather) -> RetrainingDecision:
    """Decide whether to retrain, from the log, the outcomes and the decisions so far.

    Raises
    ------
    ArtifactMissingError
        If there is no champion yet.
    """
    store = RunStore(project.model_dir)
    evidence = gather(project, store.require_champion())
    return decide_retraining(evidence, project.config.retraining, retraining_history(store.decisions()))


def retrain(
    project: Project,
    progress: Progress,
    *,
    if_triggered_by: Gather | None = None,
    dry_run: bool = False,
) -> RetrainingReport:
    """Train a challenger on what is known now, and make it the champion if every gate holds.

    Parameters
    ----------
    project : Project
        The settings in force.
    progress : Progress
        Told what is going on.
    if_triggered_by : callable, optional
        Gives the evidence that the triggers look at: nothing is done unless one fires and nothing has to be
        waited for. By default nobody asks them.
    dry_run : bool, default=False
        Do the same in a temporary folder, which is removed: nothing of the artifact folder changes.

    Returns
    -------
    report : RetrainingReport

    Raises
    ------
    ArtifactError
        If there is no champion, or another retraining is at work.
    NothingToJudgeError
        If no challenger could be compared with the champion; `decisions.jsonl` says so.
    DataError, TrainingError
        If the data or the training fail. The champion stays.

    Notes
    -----
    Killed at any moment it leaves the champion as it is, or swapped as a whole; what it has written by then
    is an open run and tables that nobody refers to.
    """
    champion = RunStore(project.model_dir).require_champion()
    decision: RetrainingDecision | None = None
    if if_triggered_by is not None:
        progress.step("following the prediction log")
        decision = decide(project, if_triggered_by)
        if not decision.retrain_now:
            return RetrainingReport(champion.run_id, dry_run, decision)
    with _workplace(project, dry_run=dry_run) as place:
        # by its name: a champion that went live meanwhile is not the one that the triggers spoke of
        return _retrain(place, place_of(place, champion), decision, progress, dry_run=dry_run)


def place_of(project: Project, run: RunFolder) -> RunFolder:
    """Find the same run in another artifact folder."""
    return RunStore(project.model_dir).get(run.run_id)


def _retrain(
    project: Project,
    champion: RunFolder,
    decision: RetrainingDecision | None,
    progress: Progress,
    *,
    dry_run: bool,
) -> RetrainingReport:
    store = RunStore(project.model_dir)
    trigger = {"requested": "by hand"} if decision is None else json_values(decision)
    progress.step("joining outcomes with the prediction log")
    try:
        data = build_retraining_data(project, champion, now=datetime.now(UTC), progress=progress.fraction)
    except NothingToJudgeError as error:
        with store.deciding():
            store.note_decision(
                "retraining_refused", champion, retraining={"trigger": trigger, "reason": str(error)}
            )
        raise
    record = msgspec.structs.replace(data.record, trigger=trigger)
    challenger = challenger_project(with_calibrated_business(project, champion), data.dataset.path)
    run, release = run_all(challenger, progress, retraining=record, challenger_gates=challenger_gates)
    _keep_quarantine(run, data)
    prune_datasets(store, project.config, is_retraining=True)
    return RetrainingReport(champion.run_id, dry_run, decision, record, release)


def with_calibrated_business(project: Project, champion: RunFolder) -> Project:
    """Ask of a challenger what `tabloop calibrate` asked of the champion.

    Only as long as the settings in force are those of the file at that time: a file that was changed since,
    or `--set business...`, is newer than the champion.
    """
    calibrated = champion.lineage.calibrated_from
    if calibrated is None or calibrated.business_in_file != project.config.business.model_dump(mode="json"):
        return project
    return Project(_with(project.config, business=champion.config.business), project.config_path)


def _keep_quarantine(run: RunFolder, data: RetrainingData) -> None:
    if data.quarantine_lines:
        write_report(run, FEEDBACK_QUARANTINE, data.quarantine_lines)


def require_not_refused(report: RetrainingReport) -> None:
    """Raise when a challenger was trained and refused, naming the gates that said no.

    Raises
    ------
    GateRefusedError
        If the champion stays because of a gate.
    """
    if report.release is not None and not report.release.promoted:
        refused = "\n".join(f"  {g.name}: {g.reason}" for g in report.release.gates if not g.passed)
        raise GateRefusedError(
            f"challenger {report.release.run_id}: not released, run {report.champion_run_id} stays\n{refused}"
        )


@contextlib.contextmanager
def _workplace(project: Project, *, dry_run: bool) -> Iterator[Project]:
    """Give the project to work on: the real one, held alone, or one that shows the same and is removed."""
    if not dry_run:
        with locked(
            project.model_dir / RETRAINING_LOCK, busy="another retraining is at work; wait until it is done"
        ):
            yield project
        return
    with scratch_folder("dry-run") as folder:
        _show(project.model_dir.absolute(), folder)
        settings = project.config.artifacts.model_copy(update={"model_dir": str(folder)})
        yield Project(_with(project.config, artifacts=settings), project.config_path)


def _show(model_dir: Path, folder: Path) -> None:
    """Link what a retraining reads, and copy what it would append to."""
    (folder / RUNS).mkdir()
    for run in (model_dir / RUNS).iterdir():
        if run.is_dir():
            (folder / RUNS / run.name).symlink_to(run)
    (folder / CHAMPION).symlink_to((model_dir / CHAMPION).readlink())
    for path in (*model_dir.glob("prediction_log*.jsonl*"), model_dir / FEEDBACK):
        if path.exists():
            (folder / path.name).symlink_to(path)
    if (model_dir / DECISIONS).exists():
        shutil.copyfile(model_dir / DECISIONS, folder / DECISIONS)


def _with(config: Config, **sections: Any) -> Config:
    return config.model_copy(update=sections)
