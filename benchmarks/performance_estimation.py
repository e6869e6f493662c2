"""Measure how near estimates of performance come to the truth, without labels, on shifted real rows.

Half of the data trains a model through tabloop's own pieces; the rows of the other half, whose labels are
known but not shown, make the windows: quiet ones, segments, and mixtures whose shift grows. By window size::

    OMP_NUM_THREADS=1 python benchmarks/performance_estimation.py --data ml_datasource.csv
    python benchmarks/performance_estimation.py --nannyml /path/to/a/venv/bin/python   # with theirs beside

Data come from `--data` or the folder in TABLOOP_REAL_DATA. NannyML needs an environment of its own (its
requirements are older than ours) and is left out without one. Printed are, for precision, recall and
ROC-AUC, the mean absolute error of

- `nothing changed`: the figure of the out-of-fold scores, whatever the window;
- `CBPE`: calibrated on the reference as it is; `M-CBPE`: calibrated on the reference weighted to look like
  the window; `NannyML`: its CBPE, whose method is the first;

then how often the realized figure is inside our intervals, how often a figure was left out, and how often
quiet windows raised a degradation alarm. A figure counts where the window has at least 10 rows decided
positive (precision) or 10 positive rows (recall, ROC-AUC): with fewer the truth itself is noise.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from tabloop.config.loading import load_project
from tabloop.config.performance import PerformanceConfig
from tabloop.config.training import LogisticRegressionCandidate, RandomForestCandidate
from tabloop.contract.feature_table import feature_frame
from tabloop.data.dataset import read_dataset
from tabloop.data.split import split_dataset
from tabloop.performance.degradation import decide_degradation
from tabloop.performance.estimate import Method, RatedRows, estimate_performance
from tabloop.performance.figures import PerformanceFigure
from tabloop.performance.realized import measure_performance
from tabloop.training.calibration import scores_of
from tabloop.training.folds import assign_folds
from tabloop.training.steps import build_steps
from tabloop.training.threshold import calibrate_threshold

ROOT = Path(__file__).parents[1]
Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Rows of one part, as monitoring is handed them, and their labels."""

    numeric: dict[str, Floats]
    categories: dict[str, Codes]
    y_true: NDArray[np.int8]
    y_proba: Floats

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """Give some of the rows."""
        return Rows(
            {name: values[rows] for name, values in self.numeric.items()},
            {name: codes[rows] for name, codes in self.categories.items()},
            self.y_true[rows],
            self.y_proba[rows],
        )


@dataclass(frozen=True)
class Bench:
    """A model with its reference (out-of-fold) and the rows that it never saw."""

    reference: Rows
    pool: Rows
    threshold: float


def train(data: Path, model: str, seed: int) -> Bench:
    """Train one model on half of the data, through tabloop's own pieces."""
    project = load_project(ROOT / "config.yaml", overrides=(f"data.source.path={data}",), environ={})
    contract, config = project.contract, project.config
    frame = read_dataset(config.data, contract, data).frame
    split = split_dataset(frame, contract.target.name, test_size=0.5, seed=seed)
    candidate = (
        RandomForestCandidate(kind="random_forest", n_estimators=100)
        if model == "random_forest"
        else LogisticRegressionCandidate(kind="logistic_regression")
    )
    features = feature_frame(contract, split.train)
    y = split.train[contract.target.name].to_numpy().astype(np.int8)
    folds = assign_folds(y, n_splits=5, seed=seed, groups=split.train_groups).of_row

    def fitted(on: NDArray[np.bool_]) -> Pipeline:
        steps = build_steps(candidate, config.preprocessing, contract, seed)
        return steps.fit(features.filter(pl.Series(on)), y[on])

    y_proba = np.empty(len(y))
    for fold in range(5):
        held_out = folds == fold
        y_proba[held_out] = scores_of(fitted(~held_out), features.filter(pl.Series(held_out)))
    fresh = feature_frame(contract, split.test)
    y_fresh = split.test[contract.target.name].to_numpy().astype(np.int8)
    vocabulary = {
        name: {text: code for code, text in enumerate(features[name].unique().sort().to_list())}
        for name in contract.category_features
    }

    def rows(table: pl.DataFrame, labels: NDArray[np.int8], scores: Floats) -> Rows:
        return Rows(
            {name: table[name].to_numpy() for name in contract.numeric_features},
            {
                name: np.array([known.get(text, -1) for text in table[name].to_list()], dtype=np.int64)
                for name, known in vocabulary.items()
            },
            labels,
            scores,
        )

    report = calibrate_threshold(y, y_proba, target_precision=0.9, confidence=0.95)
    return Bench(
        rows(features, y, y_proba),
        rows(fresh, y_fresh, scores_of(fitted(np.ones(len(y), dtype=bool)), fresh)),
        report.threshold,
    )


COUNTRY, DAYS, MINUTES = "student_country", "days_on_platform", "minutes_watched"
WATCHED = ("precision", "recall", "roc_auc")
NOTHING, PLAIN, WEIGHTED, NANNYML = "nothing changed", "CBPE", "M-CBPE", "NannyML"
OURS: dict[str, Method] = {PLAIN: "unweighted", WEIGHTED: "weighted"}
LEAST_ROWS = 10


def segments(pool: Rows) -> dict[str, Floats]:
    """How likely each row of the pool is drawn, by kind of window; 0 leaves it out."""
    days, minutes = pool.numeric[DAYS], pool.numeric[MINUTES]
    countries = pool.categories[COUNTRY]
    commonest = np.argsort(-np.bincount(countries[countries >= 0]), kind="stable")
    # one number along which students differ: recent and watching much
    lean = (days.mean() - days) / days.std() + 0.5 * np.log(minutes / np.median(minutes)) / np.log(10)
    kinds: dict[str, NDArray[np.bool_] | Floats] = {
        "quiet": np.ones(len(days)),
        "commonest country": countries == commonest[0],
        "second country": countries == commonest[1],
        "all but those two": ~np.isin(countries, commonest[:2]),
        "rare countries": ~np.isin(countries, commonest[:10]),
        "newer students": days < 60,
        "older students": days >= 30,
        "heavy watchers": minutes > 50,
        "light watchers": minutes < 20,
        "mixture 0.5": np.exp(0.5 * lean),
        "mixture 1": np.exp(lean),
        "mixture 2": np.exp(2 * lean),
    }
    return {name: np.asarray(weight, dtype=np.float64) for name, weight in kinds.items()}


@dataclass(frozen=True)
class Window:
    """Rows of the pool under one name."""

    kind: str
    rows: Rows


def windows(
    pool: Rows, size: int | None, repeats: int, seed: int, kinds: list[str] | None
) -> Iterator[Window]:
    """Draw windows of one size without replacement; None takes every row of a segment, once."""
    rng = np.random.default_rng(seed)
    for kind, weight in segments(pool).items():
        if kinds is not None and kind not in kinds:
            continue
        possible = int((weight > 0).sum())
        whole = size is None and len(np.unique(weight[weight > 0])) == 1
        wanted = min(size or possible // 2, possible)
        if size is not None and possible < size:
            continue
        for _ in range(1 if whole else repeats):
            taken = (
                np.flatnonzero(weight > 0)
                if whole
                else rng.choice(len(weight), wanted, replace=False, p=weight / weight.sum())
            )
            yield Window(kind, pool.take(taken))


@dataclass
class Tally:
    """What was found of one kind of window."""

    errors: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    inside: dict[tuple[str, str], list[bool]] = field(default_factory=lambda: defaultdict(list))
    left_out: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    alarms: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))

    def add(self, other: Tally) -> None:
        """Take over what another one found."""
        for name in ("errors", "inside", "left_out", "alarms"):
            for key, found in getattr(other, name).items():
                getattr(self, name)[key] += found


def look_at(
    bench: Bench,
    window: Window,
    held: dict[str, PerformanceFigure],
    theirs: dict[str, float] | None,
    config: PerformanceConfig,
) -> Tally:
    """Estimate one window every way, and hold each against its labels."""
    tally = Tally()
    rows = window.rows
    decided = rows.y_proba >= bench.threshold
    realized = measure_performance(rows.y_true, rows.y_proba, decided, confidence=config.confidence)
    enough = {
        "precision": realized.predicted_positive_rows >= LEAST_ROWS,
        "recall": realized.positive_rows >= LEAST_ROWS,
        "roc_auc": realized.positive_rows >= LEAST_ROWS,
    }
    counted = [metric for metric in WATCHED if enough[metric] and metric in realized.figures]
    truth = {metric: realized.figures[metric].value for metric in counted}
    tally.alarms["realized"].append(decide_degradation(held, realized.figures, config).degraded)
    for metric in counted:
        tally.errors[NOTHING, metric].append(abs(held[metric].value - truth[metric]))
        if theirs is not None and theirs.get(metric) is not None:
            tally.errors[NANNYML, metric].append(abs(theirs[metric] - truth[metric]))
    reference = bench.reference
    for name, method in OURS.items():
        estimate = estimate_performance(
            RatedRows(reference.numeric, reference.categories, reference.y_proba, reference.y_true),
            RatedRows(rows.numeric, rows.categories, rows.y_proba),
            bench.threshold,
            config,
            method=method,
        )
        tally.alarms[name].append(decide_degradation(held, estimate.long_run, config).degraded)
        for metric in counted:
            tally.left_out[name].append(metric not in estimate.figures)
            if metric in estimate.figures:
                figure = estimate.figures[metric]
                tally.errors[name, metric].append(abs(figure.value - truth[metric]))
                tally.inside[name, metric].append(figure.low <= truth[metric] <= figure.high)
    return tally


_THEIR_SIDE = """
import json, sys, warnings
warnings.filterwarnings("ignore")
import numpy as np, pandas as pd, nannyml as nml
given = np.load(sys.argv[1])
def frame(name):
    table = pd.DataFrame({"p": given[name], "d": (given[name] >= given["threshold"]).astype(int)})
    return table
reference = frame("reference").assign(y=given["y_true"].astype(int))
answers = []
cbpe = nml.CBPE(y_pred_proba="p", y_pred="d", y_true="y", problem_type="classification_binary",
                metrics=["precision", "recall", "roc_auc"], chunk_number=5).fit(reference)
for number in range(int(given["windows"])):
    window = frame(f"window_{number}")
    cbpe_chunker = nml.chunk.SizeBasedChunker(len(window), incomplete="keep")
    cbpe.chunker = cbpe_chunker
    found = cbpe.estimate(window).filter(period="analysis").to_df()
    values = {m: float(found[m]["value"].iloc[0]) for m in ("precision", "recall", "roc_auc")}
    answers.append({m: (v if np.isfinite(v) else None) for m, v in values.items()})
print(json.dumps(answers))
"""


def ask_nannyml(python: Path, bench: Bench, found: list[Window]) -> list[dict[str, float]]:
    """Let NannyML's CBPE, in its own environment, estimate the same windows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "given.npz"
        given: dict[str, Any] = {
            "threshold": bench.threshold,
            "reference": bench.reference.y_proba,
            "y_true": bench.reference.y_true,
            "windows": len(found),
        }
        given |= {f"window_{number}": window.rows.y_proba for number, window in enumerate(found)}
        np.savez(path, **given)
        done = subprocess.run(
            [str(python), "-c", _THEIR_SIDE, str(path)], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise RuntimeError(done.stderr)
    answers: list[dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return answers


def run(arguments: argparse.Namespace) -> dict[str, dict[str, Tally]]:
    """Measure everything; give a tally by window size and kind."""
    config = PerformanceConfig(confidence=arguments.confidence)
    tallies: dict[str, dict[str, Tally]] = defaultdict(lambda: defaultdict(Tally))
    for model in arguments.models:
        for seed in range(arguments.seed, arguments.seed + arguments.splits):
            bench = train(arguments.data, model, seed)
            reference = bench.reference
            held = measure_performance(
                reference.y_true,
                reference.y_proba,
                reference.y_proba >= bench.threshold,
                confidence=config.confidence,
            ).figures
            for size in arguments.sizes:
                found = list(windows(bench.pool, size, arguments.repeats, seed, arguments.kinds))
                theirs: list[dict[str, float]] | list[None] = [None] * len(found)
                if arguments.nannyml is not None:
                    theirs = ask_nannyml(arguments.nannyml, bench, found)
                for window, answer in zip(found, theirs, strict=True):
                    tallies[str(size or "all")][window.kind].add(look_at(bench, window, held, answer, config))
    return tallies


def table(tallies: dict[str, dict[str, Tally]], confidence: float) -> Iterator[str]:
    """Write the tables, in Markdown."""
    methods = [NOTHING, PLAIN, WEIGHTED]
    if any(
        key[0] == NANNYML for kinds in tallies.values() for tally in kinds.values() for key in tally.errors
    ):
        methods.append(NANNYML)
    heads = [f"{metric} {method}" for metric in WATCHED for method in methods]
    yield "Mean absolute error, in points (hundredths).\n"
    yield f"| rows | windows | {' | '.join(heads)} |"
    yield "|" + "---|" * (2 + len(heads))
    for size, kinds in tallies.items():
        shifted = Tally()
        for kind, tally in kinds.items():
            if kind != "quiet":
                shifted.add(tally)
        for kind, tally in [*kinds.items(), ("**all shifted**", shifted)]:
            cells = [_mean(tally.errors[method, metric]) for metric in WATCHED for method in methods]
            yield f"| {size} | {kind} | {' | '.join(cells)} |"
    heads = [f"{metric} {method}" for metric in WATCHED for method in OURS]
    yield f"\nRealized figures inside our {confidence:.0%} intervals, in percent; then figures left out.\n"
    yield f"| rows | windows | {' | '.join(heads)} | left out {PLAIN} | left out {WEIGHTED} |"
    yield "|" + "---|" * (4 + len(heads))
    for size, kinds in tallies.items():
        quiet, shifted = Tally(), Tally()
        for kind, tally in kinds.items():
            (quiet if kind == "quiet" else shifted).add(tally)
        for kind, tally in (("quiet", quiet), ("shifted", shifted)):
            cells = [_mean(tally.inside[method, metric]) for metric in WATCHED for method in OURS]
            cells += [_mean(tally.left_out[method]) for method in OURS]
            yield f"| {size} | {kind} | {' | '.join(cells)} |"
    yield "\nWindows that raise a degradation alarm, in percent.\n"
    names = ["realized", *OURS]
    yield f"| rows | windows | {' | '.join(names)} | counted |"
    yield "|" + "---|" * (3 + len(names))
    for size, kinds in tallies.items():
        for kind, tally in kinds.items():
            cells = [_mean(tally.alarms[name]) for name in names]
            yield f"| {size} | {kind} | {' | '.join(cells)} | {len(tally.alarms['realized'])} |"


def _mean(values: list[float] | list[bool]) -> str:
    return f"{100 * float(np.mean(values)):.1f}" if values else "-"


def main() -> None:
    """Read the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    folder = os.environ.get("TABLOOP_REAL_DATA")
    default = Path(folder) / "ml_datasource.csv" if folder else ROOT / "data" / "ml_datasource.csv"
    parser.add_argument("--data", type=lambda text: Path(text).resolve(), default=default)
    parser.add_argument("--models", nargs="+", default=["random_forest", "logistic_regression"])
    parser.add_argument("--sizes", nargs="+", default=[500, 2000, None], type=_size)
    parser.add_argument("--splits", type=int, default=3, help="training halves per model")
    parser.add_argument("--repeats", type=int, default=5, help="windows of each kind and size")
    parser.add_argument("--kinds", nargs="+", help="kinds of windows; by default all")
    parser.add_argument("--confidence", type=float, default=0.99)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nannyml", type=Path, help="the Python of an environment with nannyml")
    arguments = parser.parse_args()
    for line in table(run(arguments), arguments.confidence):
        print(line)


def _size(text: str) -> int | None:
    return None if text == "all" else int(text)


if __name__ == "__main__":
    main()
