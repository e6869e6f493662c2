"""Train: read the data, compare the candidates, calibrate the threshold, write it all into a new run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tabloop.artifacts.documents.retraining import RetrainingRecord
from tabloop.artifacts.layout import (
    CONFIG,
    CONTRACT,
    DRIFT_BASELINE,
    DRIFT_OPERATING_TABLE,
    DRIFT_REFERENCE,
    LINEAGE,
    METRICS,
    MODEL_CARD,
    PIPELINE,
    QUARANTINE,
    RETRAINING,
    SCORES,
    SEARCH,
    THRESHOLD,
    candidate_pipeline,
)
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.data.dataset import Dataset, read_dataset, require_both_classes, require_quarantine_limit
from tabloop.data.open_source import file_of
from tabloop.data.run_data import RunData, split
from tabloop.drift.baseline import build_drift_baseline
from tabloop.drift.operating_table import build_operating_table
from tabloop.drift.reference import build_drift_reference
from tabloop.extras import require_extra
from tabloop.lifecycle.lineage import describe_lineage
from tabloop.lifecycle.metrics import describe_metrics, scores_of
from tabloop.lifecycle.pipeline_file import write_pipeline
from tabloop.progress import Progress
from tabloop.training.model_card import render_model_card
from tabloop.training.worker_server import start_early

if TYPE_CHECKING:
    from tabloop.training.train import TrainingResult


def train(
    project: Project,
    progress: Progress,
    *,
    retraining: RetrainingRecord | None = None,
    address: str | None = None,
) -> tuple[RunFolder, RunData]:
    """Open a run: read the data, compare the candidates, calibrate the threshold, write it all down.

    Parameters
    ----------
    project : Project
        The settings in force.
    progress : Progress
        Told what is going on.
    retraining : RetrainingRecord, optional
        What makes the run a challenger; see `run_all`.
    address : str, optional
        The head of the Ray cluster, where `training.engine` is one; by default that of `RAY_ADDRESS`.

    Returns
    -------
    run : RunFolder
        Open, for the stages that follow and for `release`.
    data : RunData
        The run's rows, for the stages that follow.

    Raises
    ------
    DataError, TrainingError, InfeasibleError, ClusterError
        If the data, every candidate, the promise or the cluster fail; a run that holds nothing is removed.
    """
    run = RunStore(project.model_dir).create()
    try:
        return run, _train_into(run, project, progress, retraining, address)
    except BaseException:
        run.discard_if_empty()
        raise


def _fit(
    run: RunFolder,
    project: Project,
    progress: Progress,
    retraining: RetrainingRecord | None,
    address: str | None,
) -> tuple[Dataset, RunData, TrainingResult]:
    if project.config.training.engine != "ray":
        start_early(file_of(project.config.data.source, project.folder))
    # only here: a release or a rollback does not wait for scikit-learn
    from tabloop.optimization.export.pipeline import graph_check
    from tabloop.training.candidates import require_libraries
    from tabloop.training.engine import open_engine
    from tabloop.training.train import train_model

    config, contract = project.config, project.contract
    require_libraries(config.training.candidates)
    if config.training.search is not None:
        require_extra("search", "training.search")
    why_no_graph = graph_check(config.training.candidates, contract)
    if config.training.engine == "ray":
        progress.step("joining the Ray cluster")
    with open_engine(config.training, address) as engine:
        progress.step("reading the data")
        with run.open_new(QUARANTINE) as quarantine_file:
            dataset = read_dataset(
                config.data,
                contract,
                project.folder,
                quarantine_file=quarantine_file,
                progress=progress.fraction,
            )
        require_quarantine_limit(dataset, config.data)
        require_both_classes(dataset, contract)
        # written first, so that the run is known as a challenger whatever becomes of it
        if retraining is not None:
            run.write_document(RETRAINING, retraining)
        run.write(CONFIG, config.to_json().encode())
        run.write(CONTRACT, contract.to_json().encode())

        progress.step("training")
        data = RunData(config, contract, split(config, dataset))
        # the parts hold the rows from here on
        dataset = replace(dataset, frame=dataset.frame.clear(), beside=None)
        result = train_model(
            config,
            contract,
            data.split.train,
            data.split.test,
            groups=data.split.train_groups,
            marks=data.split.train_marks,
            test_marks=data.split.test_marks,
            why_no_graph=why_no_graph,
            model_dir=project.model_dir,
            engine=engine,
            watch=progress.tasks,
        )
    return dataset, data, result


def _train_into(
    run: RunFolder,
    project: Project,
    progress: Progress,
    retraining: RetrainingRecord | None,
    address: str | None,
) -> RunData:
    config, contract = project.config, project.contract
    dataset, data, result = _fit(run, project, progress, retraining, address)
    progress.step(f"writing {run.path}")
    write_pipeline(run, PIPELINE, result.best_pipeline)
    for name, pipeline in result.pipelines.items() if config.training.keep == "all" else ():
        if name == result.best.name:
            run.link(candidate_pipeline(name), PIPELINE)
        else:
            write_pipeline(run, candidate_pipeline(name), pipeline)
    threshold = result.threshold.threshold
    run.write(THRESHOLD, f"{threshold!r}\n".encode())
    with run.open_new(SCORES) as file:
        scores_of(data, result).save(file)
    if result.search is not None:
        run.write_document(SEARCH, result.search)
    metrics = describe_metrics(run.run_id, config, data.split, result)
    run.write_document(METRICS, metrics)
    # the earliest rows of a split by time have no out-of-fold score to be compared with
    scored = ~np.isnan(result.oof_proba)
    features, y_proba = result.features.filter(pl.Series(scored)), result.oof_proba[scored]
    y_train = data.split.train[contract.target.name].to_numpy()[scored]
    baseline = build_drift_baseline(contract, features, y_train, y_proba, threshold)
    run.write_document(DRIFT_BASELINE, baseline)
    reference = build_drift_reference(
        contract,
        features,
        y_train,
        y_proba,
        max_rows=config.monitoring.reference_rows,
        seed=config.seed,
    )
    with run.open_new(DRIFT_REFERENCE) as file:
        reference.save(file)
    progress.step("measuring what drift alarms cost")
    operating_table = build_operating_table(
        reference, config.monitoring, seed=config.seed, progress=progress.fraction
    )
    run.write_document(DRIFT_OPERATING_TABLE, operating_table)
    lineage = describe_lineage(run, project, dataset, data.split, result)
    run.write_document(LINEAGE, lineage)
    run.write(MODEL_CARD, render_model_card(contract, metrics, lineage, operating_table).encode())
    if result.journal is not None:
        result.journal.remove()
    return data
