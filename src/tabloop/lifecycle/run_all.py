"""The whole job: train, export, quantize, parity, description, benchmark, trade-offs, release, report."""

from __future__ import annotations

from tabloop.artifacts.documents.retraining import RetrainingRecord
from tabloop.artifacts.run import RunFolder
from tabloop.config.config import Config
from tabloop.config.loading import Project
from tabloop.data.run_data import RunData
from tabloop.errors import MachineBusyError
from tabloop.lifecycle.benchmark import benchmark_run
from tabloop.lifecycle.describe import describe_run
from tabloop.lifecycle.export import export_run
from tabloop.lifecycle.parity import parity_run
from tabloop.lifecycle.quantize import quantize_run
from tabloop.lifecycle.report import write_run_report
from tabloop.lifecycle.tradeoffs import tradeoffs_run
from tabloop.lifecycle.train import train
from tabloop.progress import Progress
from tabloop.release.release import GatesOfRun, ReleaseDecision, release


def run_all(
    project: Project,
    progress: Progress,
    *,
    retraining: RetrainingRecord | None = None,
    challenger_gates: GatesOfRun | None = None,
    allow_infeasible: bool = False,
    address: str | None = None,
) -> tuple[RunFolder, ReleaseDecision]:
    """Do the whole job, from the data to the release.

    Parameters
    ----------
    project : Project
        The settings in force.
    progress : Progress
        Told what is going on.
    retraining : RetrainingRecord, optional
        What makes the run a challenger: where its data come from, and what it is judged on.
    challenger_gates : callable, optional
        What a challenger has to pass beside the gates of every run.
    allow_infeasible : bool, default=False
        Release although no threshold keeps the promise; see `release`.
    address : str, optional
        The head of a Ray cluster; see `train`.

    Returns
    -------
    run : RunFolder
        Sealed.
    decision : ReleaseDecision
        Whether it is the champion now, and why.

    Raises
    ------
    MachineBusyError
        If the machine is too busy to judge the run, which then stays open.
    """
    run, data = run_stages(project, progress, retraining=retraining, address=address)
    progress.step("releasing")
    try:
        decision = release(
            project, run, data=data, challenger_gates=challenger_gates, allow_infeasible=allow_infeasible,
            progress=progress,
        )  # fmt: skip
    except MachineBusyError:
        write_run_report(project, run, progress)
        raise
    sealed = RunFolder(run.path)
    write_run_report(project, sealed, progress)
    return sealed, decision


def run_open(project: Project, progress: Progress, *, address: str | None = None) -> RunFolder:
    """Do all that comes before the release, and report it; `tabloop release` judges the run later."""
    run, _ = run_stages(project, progress, address=address)
    write_run_report(project, run, progress)
    return run


def calibrate_all(
    project: Project,
    source: RunFolder,
    progress: Progress,
    *,
    release_it: bool = True,
    allow_infeasible: bool = False,
) -> tuple[RunFolder, ReleaseDecision | None]:
    """Give the model of a run another threshold, and release it as a run of its own.

    Parameters
    ----------
    project : Project
        The settings in force: the threshold follows its section `business`.
    source : RunFolder
        The run whose model it is.
    progress : Progress
        Told what is going on.
    release_it : bool, default=True
        Judge it and let it go live; otherwise it stays open.
    allow_infeasible : bool, default=False
        Release although no threshold keeps the promise; see `release`.

    Returns
    -------
    run : RunFolder
        The new run.
    decision : ReleaseDecision or None
        Whether it is the champion now, and why; None where it stays open.
    """
    from tabloop.lifecycle.calibrate import calibrate

    run, data = calibrate(project, source, progress)
    decision = None
    if release_it:
        progress.step("releasing")
        decision = release(project, run, data=data, allow_infeasible=allow_infeasible)
        run = RunFolder(run.path)
    write_run_report(project, run, progress)
    return run, decision


def run_stages(
    project: Project,
    progress: Progress,
    *,
    retraining: RetrainingRecord | None = None,
    address: str | None = None,
) -> tuple[RunFolder, RunData]:
    """Do all that comes before the release; the run stays open."""
    run, data = train(project, progress, retraining=retraining, address=address)
    progress.step("exporting")
    export_run(run, data, progress=progress.fraction)
    progress.step("quantizing")
    quantize_run(run, data, project.config, progress=progress.fraction)
    progress.step("checking parity")
    parity_run(run, data, project.config)
    progress.step("describing")
    describe_run(run, data, progress=progress.fraction)
    if (mode := project.config.benchmarking.in_run) != "none":
        _measure(run, data, project.config, progress, full=mode == "full")
    return run, data


def _measure(run: RunFolder, data: RunData, config: Config, progress: Progress, *, full: bool) -> None:
    def benchmarked(done: int, total: int, text: str) -> None:
        progress.step(f"benchmarking {text}")
        progress.fraction(done / max(1, total))

    progress.step("benchmarking")
    benchmark = benchmark_run(run, data, config, full=full, progress=benchmarked)
    progress.step("weighing trade-offs")
    tradeoffs_run(run, benchmark)
