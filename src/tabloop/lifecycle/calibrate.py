"""Calibrate: give the model of a run another threshold, as a new run, without training."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import onnx

from tabloop.artifacts.documents.drift_operating_table import DriftOperatingTable
from tabloop.artifacts.documents.explanation import Explanation
from tabloop.artifacts.documents.graphs import ExportReport
from tabloop.artifacts.documents.lineage import CalibratedFrom, Ingredient, Lineage
from tabloop.artifacts.documents.metrics import Calibration, Metrics, ThresholdReport
from tabloop.artifacts.documents.scores import RunScores
from tabloop.artifacts.layout import (
    CONFIG,
    CONTRACT,
    DISTRIBUTIONS,
    DRIFT_BASELINE,
    DRIFT_OPERATING_TABLE,
    DRIFT_REFERENCE,
    EXPLAINER,
    EXPLANATION,
    EXPORT_REPORT,
    FP32_MODEL,
    LINEAGE,
    METRICS,
    MODEL_CARD,
    PIPELINE,
    QUARANTINE,
    SCORES,
    SEARCH,
    SELF_TEST,
    THRESHOLD,
)
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project, load_project
from tabloop.data.run_data import RunData, load_run_data, require_trained
from tabloop.errors import ArtifactError, ConfigError
from tabloop.inference.predictor import UNTIMED_CALLS, Predictor
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.lifecycle.describe import evaluate_run
from tabloop.lifecycle.export import require_exported
from tabloop.lifecycle.metrics import with_own_threshold_only
from tabloop.lifecycle.parity import parity_run
from tabloop.lifecycle.pipeline_file import load_pipeline, write_pipeline
from tabloop.lifecycle.quantize import quantize_run
from tabloop.optimization.export.pipeline import save_model
from tabloop.progress import Progress
from tabloop.training.evaluation import evaluate
from tabloop.training.feasibility import require_feasible
from tabloop.training.model_card import render_model_card
from tabloop.training.objectives import choose_threshold
from tabloop.training.pipelines import scores_saw_labels

#: What does not depend on the threshold. What was measured of speed and of other candidates stays behind.
_TAKEN_OVER = (
    QUARANTINE,
    CONTRACT,
    SCORES,
    DRIFT_REFERENCE,
    DRIFT_OPERATING_TABLE,
    EXPLAINER,
    SELF_TEST,
    EXPLANATION,
    DISTRIBUTIONS,
)


def calibrate(project: Project, source: RunFolder, progress: Progress) -> tuple[RunFolder, RunData]:
    """Open a run that has another run's model and the threshold that today's `business` chooses.

    Parameters
    ----------
    project : Project
        The settings in force: its section `business` is the new one. All others stay those that the model
        was trained with.
    source : RunFolder
        The run whose model it is, with all stages up to its description.
    progress : Progress
        Told what is going on.

    Returns
    -------
    run : RunFolder
        Open, for `release`.
    data : RunData
        Its rows.

    Raises
    ------
    ConfigError
        If `business` says what the run was calibrated with already.
    ArtifactError
        If a stage of the source is missing.
    HashMismatchError
        If the dataset, or a file of the source, is not the recorded one.
    InfeasibleError
        If no threshold can promise what is asked for and `business.on_infeasible` is `fail`.
    """
    _require_stages(source)
    trained_with = source.config
    if project.config.business == trained_with.business:
        raise ConfigError(
            f"run {source.run_id}: was calibrated with these very settings of business already; say "
            "what else is wanted, as in --set business.target_precision=0.8"
        )
    config = trained_with.model_copy(update={"business": project.config.business})
    scores = RunScores.load(source.read(SCORES))
    progress.step("reading the data")
    read = load_run_data(project, source, progress.fraction)
    judging = scores.judging
    threshold = choose_threshold(
        scores.y_train[judging],
        scores.oof_proba[judging],
        config.business,
        marks=read.split.train_marks.take(judging),
        scores_saw_labels=scores_saw_labels(config),
    )
    require_feasible(threshold, config)
    data = RunData(config, read.contract, read.split)
    run = RunStore(project.model_dir).create()
    try:
        progress.step(f"writing {run.path}")
        pipeline = _write(run, project, source, data, scores, threshold)
        _export(run, source)
        if config.serving.model == "int8":
            progress.step("quantizing")
            quantize_run(run, data, config)
        progress.step("checking parity")
        predictor = Predictor(run.read(run.served_model), calls=UNTIMED_CALLS)
        parity_run(run, data, config, pipeline, predictor)
        columns = columns_of_frame(data.contract, data.split.test)
        evaluate_run(run, data, predictor.predict(columns), run.read_as(Explanation, EXPLANATION))
    except BaseException:
        run.discard_if_empty()
        raise
    return run, data


def _require_stages(source: RunFolder) -> None:
    require_trained(source)
    require_exported(source)
    if not source.has(SCORES):
        raise ArtifactError(
            f"run {source.run_id}: keeps no {SCORES}, it is of an earlier version; train a new run"
        )
    if missing := [name for name in _TAKEN_OVER if not source.has(name)]:
        raise ArtifactError(
            f"run {source.run_id}: has no {', '.join(missing)} yet; `tabloop run` does every stage"
        )


def _write(
    run: RunFolder,
    project: Project,
    source: RunFolder,
    data: RunData,
    scores: RunScores,
    threshold: ThresholdReport,
) -> Any:
    """Write what training would, the model card last; give the pipeline."""
    for name in _TAKEN_OVER:
        run.adopt(name, source)
    if source.has(SEARCH):  # its settings are those of the model: a reproduction must not search again
        run.adopt(SEARCH, source)
    run.write(CONFIG, data.config.to_json().encode())
    pipeline = load_pipeline(source, PIPELINE)
    pipeline["classifier"].set_params(threshold=threshold.threshold)
    write_pipeline(run, PIPELINE, pipeline)
    run.write(THRESHOLD, f"{threshold.threshold!r}\n".encode())
    metrics = _metrics(run, source.metrics, data, scores, threshold)
    run.write_document(METRICS, metrics)
    baseline = msgspec.structs.replace(
        source.drift_baseline,
        decision_threshold=threshold.threshold,
        predicted_positive_rate=float(
            (scores.oof_proba[~np.isnan(scores.oof_proba)] >= threshold.threshold).mean()
        ),
    )
    run.write_document(DRIFT_BASELINE, baseline)
    lineage = _lineage(run, project, source)
    run.write_document(LINEAGE, lineage)
    table = run.read_as(DriftOperatingTable, DRIFT_OPERATING_TABLE)
    run.write(MODEL_CARD, render_model_card(run.contract, metrics, lineage, table).encode())
    return pipeline


def _metrics(
    run: RunFolder, trained: Metrics, data: RunData, scores: RunScores, threshold: ThresholdReport
) -> Metrics:
    """Put the figures together: those of training, with those of the decisions at the new threshold."""
    decided = evaluate(scores.y_test, scores.test_proba, threshold.threshold, data.split.test_marks)
    return msgspec.structs.replace(
        trained,
        **msgspec.structs.asdict(decided),
        run_id=run.run_id,
        calibration=Calibration(
            **msgspec.structs.asdict(threshold),
            probability_calibration=trained.calibration.probability_calibration,
        ),
        cv_ranking=with_own_threshold_only(trained, threshold.threshold),
    )


def _lineage(run: RunFolder, project: Project, source: RunFolder) -> Lineage:
    trained = source.lineage

    def of_run(ingredient: Ingredient, name: str) -> Ingredient:
        place = run.path.absolute() / name
        folder = project.folder.absolute()
        path = place.relative_to(folder) if place.is_relative_to(folder) else place
        return msgspec.structs.replace(ingredient, path=path.as_posix(), sha256=run.files[name].sha256)

    # the settings without `--set`, as a later retraining finds them
    in_file = load_project(project.config_path).config if project.config_path.is_file() else project.config
    earlier = trained.calibrated_from
    return msgspec.structs.replace(
        trained,
        run_id=run.run_id,
        config=of_run(trained.config, CONFIG),
        contract=of_run(trained.contract, CONTRACT),
        model=of_run(trained.model, PIPELINE),
        threshold=of_run(trained.threshold, THRESHOLD),
        calibrated_from=CalibratedFrom(
            run_id=source.run_id,
            model=trained.model,
            trained_as=source.run_id if earlier is None else earlier.trained_as,
            business_in_file=in_file.business.model_dump(mode="json"),
        ),
    )


def _export(run: RunFolder, source: RunFolder) -> None:
    """Write the source's graph for this run: the same nodes, with this run's name and threshold in it."""
    graph = onnx.load_from_string(source.read(FP32_MODEL))
    metadata = {each.key: each.value for each in graph.metadata_props} | {
        "run_id": run.run_id,
        "contract_sha256": run.files[CONTRACT].sha256,
        "model_sha256": run.files[PIPELINE].sha256,
        "decision_threshold": repr(run.threshold),
    }
    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, {key: metadata[key] for key in sorted(metadata)})
    run.write(FP32_MODEL, save_model(graph))
    run.write_document(EXPORT_REPORT, ExportReport(written=(FP32_MODEL,), not_exported={}))
