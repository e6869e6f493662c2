"""The names in the artifact folder: what a run holds, what lies beside the runs, and the familiar paths."""

from __future__ import annotations

from pathlib import Path

# What a run holds, in the order in which the stages write it.
MANIFEST = "manifest.json"
QUARANTINE = "quarantine.jsonl"
#: Says that a run is a challenger, and what it has to be judged on.
RETRAINING = "retraining.json"
CONFIG = "config.json"
CONTRACT = "contract.json"
PIPELINE = "best_model.joblib"
THRESHOLD = "threshold.txt"
METRICS = "metrics.json"
#: Every trial of a search, where there was one.
SEARCH = "search.json"
#: What the winner said of both parts, so that another threshold can be found without training.
SCORES = "scores.npz"
DRIFT_BASELINE = "drift_baseline.json"
DRIFT_REFERENCE = "drift_reference.npz"
DRIFT_OPERATING_TABLE = "drift_operating_table.json"
LINEAGE = "lineage.json"
#: Written last by the training: a run that has it is trained.
MODEL_CARD = "model_card.md"
FP32_MODEL = "model.onnx"
#: What explains single answers of the winner.
EXPLAINER = "explainer.npz"
SELF_TEST = "self_test.json"
EXPORT_REPORT = "export_report.json"
INT8_MODEL = "model.int8.onnx"
QUANTIZE_REPORT = "quantize_report.json"
PARITY_REPORT = "parity_report.json"
BENCHMARK = "benchmark.json"
BENCHMARK_TABLE = "benchmark.csv"
LEARNING_CURVE = "learning_curve.json"
LEARNING_CURVE_PLOT = "learning_curve.png"
TRADEOFFS = "tradeoffs.json"
TRADEOFFS_TABLE = "tradeoffs.csv"
TRADEOFFS_PLOT = "tradeoffs.png"
TRADEOFFS_PAGE = "tradeoffs.html"
EVALUATION = "evaluation.json"
EXPLANATION = "explanation.json"
DISTRIBUTIONS = "distributions.json"
GATES = "gates.json"

# What lies beside the runs.
RUNS = "runs"
CHAMPION = "champion"
DECISIONS = "decisions.jsonl"
NOTES = "notes.jsonl"
DATASETS = "datasets"
FEEDBACK = "feedback.jsonl"
RUNTIME_METRICS = "runtime_metrics.jsonl"
ALARMS = "monitoring/alarms.json"
#: What the tests said of windows, hour by hour.
WINDOWS = "monitoring/windows.jsonl"
#: What a retraining that the service began says, and how it stands.
RETRAIN_LOG = "monitoring/retrain.log"
RETRAIN_STATE = "monitoring/retrain.json"
SIMULATION_PLOT = "stream/simulation.png"
#: How the consumer of a stream stands, while it runs.
STREAM_STATE = "stream/state.json"
#: The runs, logs and outcomes of all machines, as an artifact folder of its own.
FLEET = "fleet"
#: What the processes of a running service share.
SERVING_STATE = ".serving"
RELEASE_LOCK = ".lock"
RETRAINING_LOCK = ".retrain.lock"
#: What unfinished searches have scored, a file for each.
SEARCHES = "searches"

# What is measured of a sealed run goes to `reports/<run_id>/`: under the name that it has in a run, or these.
REPORTS = "reports"
CHANGED_DECISIONS = "replay.jsonl"
FEEDBACK_QUARANTINE = "feedback_quarantine.jsonl"
#: Beside the run, since it tells the verdict too; the familiar path leads to that of the latest `run`.
REPORT = "report.html"

#: Links in the artifact folder that lead through the champion.
FAMILIAR_FILES = (
    PIPELINE,
    CONTRACT,
    BENCHMARK,
    DRIFT_BASELINE,
    DRIFT_OPERATING_TABLE,
    DRIFT_REFERENCE,
    GATES,
    LINEAGE,
    METRICS,
    FP32_MODEL,
    MODEL_CARD,
    PARITY_REPORT,
    QUANTIZE_REPORT,
    SELF_TEST,
    THRESHOLD,
    TRADEOFFS_PAGE,
    TRADEOFFS_PLOT,
)


def candidate_pipeline(name: str) -> str:
    """Name the file of a candidate's fitted pipeline.

    Examples
    --------
    >>> candidate_pipeline("svm"), candidate_fp32_model("svm"), candidate_int8_model("svm")
    ('candidates/svm.joblib', 'candidates/svm.onnx', 'candidates/svm.int8.onnx')
    """
    return f"candidates/{name}.joblib"


def candidate_fp32_model(name: str) -> str:
    """Name the file of a candidate's graph."""
    return f"candidates/{name}.onnx"


def candidate_int8_model(name: str) -> str:
    """Name the file of a candidate's 8-bit graph."""
    return f"candidates/{name}.int8.onnx"


def search_journal(model_dir: Path, study: str) -> Path:
    """Find the journal of a search that is not finished."""
    return model_dir / SEARCHES / f"{study}.jsonl"


def reports_folder(model_dir: Path, run_id: str) -> Path:
    """Find the folder of what was measured of a run after it was sealed."""
    return model_dir / REPORTS / run_id
