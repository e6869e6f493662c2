"""Measure how a run's candidate grows with its rows, and draw it."""

from __future__ import annotations

from tabloop.artifacts.documents.learning_curve import LearningCurve
from tabloop.artifacts.layout import LEARNING_CURVE, LEARNING_CURVE_PLOT
from tabloop.artifacts.reports import write_report, write_report_document
from tabloop.artifacts.run import RunFolder
from tabloop.charts.chart import sheet, to_png
from tabloop.config.training import TrainingConfig
from tabloop.data.run_data import RunData
from tabloop.errors import ArtifactError
from tabloop.progress import Progress
from tabloop.report.learning_curve import learning_curve_chart


def learning_curve_run(
    run: RunFolder,
    data: RunData,
    progress: Progress,
    *,
    here: TrainingConfig,
    candidate: str | None = None,
    address: str | None = None,
) -> LearningCurve:
    """Measure the learning curve of a sealed run and write `learning_curve.json` and `.png` beside it.

    Parameters
    ----------
    run : RunFolder
        Sealed.
    data : RunData
        Its rows.
    progress : Progress
        Told what is going on.
    here : TrainingConfig
        Says where the fits run: its engine and its workers.
    candidate : str, optional
        The name of a candidate; by default the winner.
    address : str, optional
        The head of a Ray cluster, as `tabloop.training.engine.open_engine` takes it.

    Raises
    ------
    ArtifactError
        If the run is open.
    ClusterError
        If the cluster cannot be joined, or a node has other libraries than this machine.
    """
    # only here: no other stage that is not training needs scikit-learn
    from tabloop.training.engine import open_engine, recorded_but_run_here
    from tabloop.training.learning_curve import measure_learning_curve

    if run.state == "open":
        raise ArtifactError(f"run {run.run_id}: still open; `tabloop release` judges and seals it")
    progress.step("measuring the learning curve")
    with open_engine(recorded_but_run_here(data.config.training, here), address) as engine:
        curve = measure_learning_curve(
            data.config,
            data.contract,
            data.split.train,
            run_id=run.run_id,
            candidate=candidate or run.metrics.best_model_name,
            groups=data.split.train_groups,
            marks=data.split.train_marks,
            found=run.search,
            engine=engine,
            watch=progress.tasks,
        )
    write_report_document(run, LEARNING_CURVE, curve)
    write_report(run, LEARNING_CURVE_PLOT, to_png(sheet([[learning_curve_chart(curve)]])))
    return curve
