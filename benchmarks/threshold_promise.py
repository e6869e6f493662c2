"""Measure how often a promised precision holds on fresh rows, and what the promise costs in recall.

The re-splits draw a training part from the real data again and again, choose the threshold
from its out-of-fold scores, refit, and look at the rows left over. The simulation knows the true precision
of every threshold, so it checks the procedure itself::

    OMP_NUM_THREADS=1 python benchmarks/threshold_promise.py --model hist_gradient_boosting
    python benchmarks/threshold_promise.py --resplits 0 --simulations 2000

A third study is about what a search for settings does to the promise: `benchmarks/searched_promise.py`::

    python -m benchmarks.threshold_promise --resplits 0 --searches 100 --trials 40

A fresh part is finite: with some 300 positive decisions its precision has a standard error of 1.5 points, as
large as the margin of the promise. "holds" counts that noise against the method; "refuted" counts the fresh
parts that contradict the target at the 5% level, which a kept promise lets happen in one of twenty at most.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import beta, binom, norm
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.searched_promise import CANDIDATES, study_searches
from benchmarks.searched_promise import METHODS as SEARCH_METHODS
from tabloop.training.threshold import calibrate_threshold

TARGET, CONFIDENCE, FOLDS = 0.9, 0.95, 5
MODELS = ("hist_gradient_boosting", "logistic_regression", "random_forest")

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
#: From labels and scores to the number of highest scores to predict positive; 0 for infeasible.
Chooser = Callable[[Labels, Floats], int]


@dataclass(frozen=True)
class Row:
    """One method, over all re-splits."""

    method: str
    resplits: int
    feasible: int
    holds: int
    refuted: int
    recall: float
    recall_when_feasible: float
    precision: float
    worst_precision: float


@dataclass(frozen=True)
class SimulationRow:
    """One method in one world of known truth; `broken` is the fraction of wrong promises."""

    world: str
    method: str
    replications: int
    feasible: float
    broken: float
    recall: float


def naive(y: Labels, hits: Floats) -> int:
    """Take the most rows whose observed precision reaches the target."""
    good = np.flatnonzero(hits / np.arange(1, len(y) + 1) >= TARGET)
    return int(good[-1]) + 1 if len(good) else 0


def lower_bounds(hits: Floats, rows: NDArray[np.int64], level: float) -> Floats:
    """Clopper-Pearson, one-sided."""
    x = hits[rows - 1]
    bounds = beta.ppf(level, np.maximum(x, 1), rows - x + 1)
    return np.asarray(np.where(x > 0, bounds, 0.0), dtype=np.float64)


def bonferroni_grid(y: Labels, hits: Floats) -> int:
    """Test a grid of 5% of the positives, the budget split evenly."""
    step = max(1.0, 0.05 * hits[-1])
    rows = np.arange(step, min(len(y), hits[-1] / TARGET), step).astype(np.int64)
    good = np.flatnonzero(lower_bounds(hits, rows, (1 - CONFIDENCE) / max(1, len(rows))) >= TARGET)
    return int(rows[good[-1]]) if len(good) else 0


def plain_fixed_sequence(y: Labels, hits: Floats) -> int:
    """Begin at the top 2% of the rows and go on by 0.1% until the first failure."""
    rows = np.arange(0.02 * len(y), 0.3 * len(y), max(1.0, 0.001 * len(y))).astype(np.int64)
    passed = lower_bounds(hits, rows, 1 - CONFIDENCE) >= TARGET
    n_passed = int(np.argmin(passed)) if not passed.all() else len(rows)
    return int(rows[n_passed - 1]) if n_passed else 0


def by_rank(choose: Chooser) -> Callable[[Labels, Floats], float | None]:
    """Turn a choice of how many rows into a choice of threshold."""

    def threshold(y: Labels, scores: Floats) -> float | None:
        order = np.argsort(-scores, kind="stable")
        rows = choose(y, np.cumsum(y[order]).astype(np.float64))
        return float(scores[order][rows - 1]) if rows else None

    return threshold


def calibrated(y: Labels, scores: Floats) -> float | None:
    """Ours."""
    report = calibrate_threshold(y, scores, target_precision=TARGET, confidence=CONFIDENCE)
    return report.threshold if report.feasible else None


METHODS: dict[str, Callable[[Labels, Floats], float | None]] = {
    "calibrate_threshold": calibrated,
    "plain fixed sequence": by_rank(plain_fixed_sequence),
    "Bonferroni grid": by_rank(bonferroni_grid),
    "naive, out-of-fold": by_rank(naive),
}


def read_students(path: Path) -> tuple[Floats, Labels]:
    """Give six raw and three engineered columns, the country's code last, and the target."""
    frame = pl.read_csv(path, infer_schema_length=None).with_columns(
        (
            0.6 * pl.col("minutes_watched")
            + 0.3 * pl.col("days_on_platform")
            + 10 * pl.col("courses_started")
        ).alias("engagement_score"),
        pl.when(pl.col("practice_exams_started") > 0)
        .then(pl.col("practice_exams_passed") / (pl.col("practice_exams_started") + 1e-6))
        .otherwise(0.0)
        .alias("exam_success_rate"),
        (pl.col("minutes_watched") / pl.max_horizontal(pl.col("days_on_platform"), 1)).alias(
            "learning_consistency"
        ),
        pl.col("student_country").rank("dense").alias("country_code"),
    )
    y = frame["purchased"].to_numpy().astype(np.int64)
    return frame.drop("student_country", "purchased").to_numpy().astype(np.float64), y


def build_model(name: str, n_columns: int, seed: int) -> Any:
    """Give an unfitted pipeline; the last column is the country."""
    numeric = list(range(n_columns - 1))
    if name == "hist_gradient_boosting":
        return make_pipeline(
            ColumnTransformer([("numeric", "passthrough", numeric)]),
            HistGradientBoostingClassifier(random_state=seed),
        )
    countries = OneHotEncoder(min_frequency=50, handle_unknown="infrequent_if_exist", sparse_output=False)
    columns = ColumnTransformer(
        [("numeric", StandardScaler(), numeric), ("country", countries, [n_columns - 1])]
    )
    if name == "logistic_regression":
        return make_pipeline(columns, LogisticRegression(max_iter=2000))
    forest = RandomForestClassifier(n_estimators=100, min_samples_leaf=2, random_state=seed, n_jobs=1)
    return make_pipeline(columns, forest)


def study_resplits(path: Path, model: str, resplits: int, train_rows: int) -> tuple[list[Row], float]:
    """Give one row per method, and the fraction of all re-splits in which our promised precision holds."""
    X, y = read_students(path)
    seen: dict[str, list[tuple[int, int, float]]] = {name: [] for name in (*METHODS, "naive, one test part")}
    promise_kept = 0
    for seed in range(resplits):
        train, fresh = train_test_split(
            np.arange(len(y)), train_size=train_rows, stratify=y, random_state=seed
        )
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
        pipeline = build_model(model, X.shape[1], seed)
        scores = cross_val_predict(pipeline, X[train], y[train], cv=folds, method="predict_proba")[:, 1]
        fresh_scores = pipeline.fit(X[train], y[train]).predict_proba(X[fresh])[:, 1]
        thresholds = {name: method(y[train], scores) for name, method in METHODS.items()}
        one_fold = next(iter(folds.split(X[train], y[train])))[
            1
        ]  # what a test part of a fifth would have shown
        thresholds["naive, one test part"] = METHODS["naive, out-of-fold"](
            y[train][one_fold], scores[one_fold]
        )
        for name, threshold in thresholds.items():
            decided = fresh_scores >= (np.inf if threshold is None else threshold)
            hits = int(y[fresh][decided].sum())
            rows = int(decided.sum()) if threshold is not None else -1
            seen[name].append((hits, rows, hits / y[fresh].sum()))
        report = calibrate_threshold(y[train], scores, target_precision=TARGET, confidence=CONFIDENCE)
        decided = fresh_scores >= report.threshold
        promise_kept += not decided.any() or y[fresh][decided].mean() >= report.promised_precision
    return [_row(name, outcomes) for name, outcomes in seen.items()], promise_kept / max(1, resplits)


def _row(name: str, outcomes: list[tuple[int, int, float]]) -> Row:
    feasible = [outcome for outcome in outcomes if outcome[1] >= 0]
    # No decision on the fresh part breaks no promise.
    precision = np.array([hits / rows if rows else 1.0 for hits, rows, _ in feasible])
    refuted = [rows > 0 and binom.cdf(hits, rows, TARGET) <= 0.05 for hits, rows, _ in feasible]
    return Row(
        method=name,
        resplits=len(outcomes),
        feasible=len(feasible),
        holds=int((precision >= TARGET).sum()),
        refuted=int(np.sum(refuted)),
        recall=float(np.mean([recall for *_, recall in outcomes])),
        recall_when_feasible=float(np.mean([recall for *_, recall in feasible]))
        if feasible
        else float("nan"),
        precision=float(precision.mean()) if feasible else float("nan"),
        worst_precision=float(precision.min()) if feasible else float("nan"),
    )


@dataclass(frozen=True)
class World:
    """Scores and labels of known truth: z is normal, P(y=1|z) = min(expit(a + b z), ceiling)."""

    a: float
    b: float
    ceiling: float
    n_rows: int

    def chance(self, z: Floats) -> Floats:
        """Give the chance of a positive."""
        return np.asarray(np.minimum(expit(self.a + self.b * z), self.ceiling), dtype=np.float64)

    def truth(self) -> tuple[Floats, Floats, Floats]:
        """Give a grid of z with the true precision and recall of `z >= grid`."""
        z = np.linspace(-9, 9, 200_001)
        density = norm.pdf(z)
        hits, rows = (np.cumsum(part[::-1])[::-1] for part in (density * self.chance(z), density))
        return z, hits / rows, hits / hits[0]


WORLDS = {
    "like the students": World(-4.5, 4.0, 0.955, 12_400),
    "no cut good enough": World(-4.5, 4.0, 0.8999, 12_400),
    "half positive": World(0.0, 2.0, 1.0, 10_000),
    "few rows": World(-4.0, 4.0, 1.0, 2_000),
}


def simulate(replications: int) -> list[SimulationRow]:
    """Count the replications whose threshold is truly less precise than promised."""
    rows = []
    for title, world in WORLDS.items():
        rng = np.random.default_rng(20_240_601)
        grid, precision, recall = world.truth()
        outcomes: dict[str, list[tuple[float, float] | None]] = {name: [] for name in METHODS}
        for _ in range(replications):
            z = rng.normal(size=world.n_rows)
            y = (rng.random(world.n_rows) < world.chance(z)).astype(np.int64)
            for name, method in METHODS.items():
                threshold = method(y, np.asarray(norm.cdf(z), dtype=np.float64))
                if threshold is None:
                    outcomes[name].append(None)
                    continue
                at = min(int(np.searchsorted(grid, norm.ppf(threshold))), len(grid) - 1)
                outcomes[name].append((float(precision[at]), float(recall[at])))
        for name, seen in outcomes.items():
            promised = [outcome for outcome in seen if outcome is not None]
            rows.append(
                SimulationRow(
                    world=title,
                    method=name,
                    replications=replications,
                    feasible=len(promised) / replications,
                    broken=sum(true < TARGET for true, _ in promised) / replications,
                    recall=sum(recalled for _, recalled in promised) / replications,
                )
            )
    return rows


def main() -> None:
    """Run the studies and print their tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    real = Path(os.environ.get("TABLOOP_REAL_DATA", "data")) / "ml_datasource.csv"
    parser.add_argument("--real", type=Path, default=real, help="the students' CSV file")
    parser.add_argument("--model", choices=MODELS, default=MODELS[0])
    parser.add_argument("--resplits", type=int, default=100, help="0 leaves the real data out")
    parser.add_argument("--train-rows", type=int, default=12_400)
    parser.add_argument(
        "--simulations", type=int, default=0, help="replications in each world of known truth"
    )
    parser.add_argument("--searches", type=int, default=0, help="replications of a search for settings")
    parser.add_argument("--trials", type=int, default=40, help="trials of such a search")
    parser.add_argument("--candidate", choices=sorted(CANDIDATES), default="decision_tree")
    parser.add_argument(
        "--fresh-rows", type=int, default=300_000, help="what counts as the truth of a search"
    )
    parser.add_argument(
        "--target", type=float, default=TARGET, help="the precision that a search is asked for"
    )
    parser.add_argument(
        "--search-real",
        action="store_true",
        help="search on parts of --real rather than on generated students",
    )
    parser.add_argument(
        "--first-search", type=int, default=0, help="the number of the first draw, to search in pieces"
    )
    parser.add_argument("--search-methods", nargs="+", choices=SEARCH_METHODS, default=list(SEARCH_METHODS))
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    arguments = parser.parse_args()

    found: dict[str, Any] = {"target_precision": TARGET, "confidence": CONFIDENCE}
    if arguments.resplits:
        rows, kept = study_resplits(arguments.real, arguments.model, arguments.resplits, arguments.train_rows)
        found |= {"model": arguments.model, "train_rows": arguments.train_rows, "promise_kept": kept}
        found["resplits"] = [asdict(row) for row in rows]
    if arguments.simulations:
        found["simulation"] = [asdict(row) for row in simulate(arguments.simulations)]
    if arguments.searches:
        rows_of_searches = study_searches(
            arguments.candidate,
            arguments.trials,
            arguments.searches,
            arguments.train_rows,
            arguments.fresh_rows,
            arguments.target,
            arguments.real if arguments.search_real else None,
            arguments.first_search,
            arguments.search_methods,
        )
        found |= {"searched": arguments.candidate, "searches": [asdict(row) for row in rows_of_searches]}
    print(json.dumps(found, indent=2) if arguments.json else _tables(found))


def _tables(found: dict[str, Any]) -> str:
    lines = []
    if "resplits" in found:
        lines.append(f"{found['model']}, {found['train_rows']} training rows")
        lines.append(_table(found["resplits"]))
        lines.append(f"promise of calibrate_threshold kept, feasible or not: {found['promise_kept']:.3f}")
    if "simulation" in found:
        lines.append(_table(found["simulation"]))
    if "searches" in found:
        lines.append(f"settings of {found['searched']} searched")
        lines.append(_table(found["searches"]))
    return "\n".join(lines)


def _table(rows: list[dict[str, Any]]) -> str:
    cells = [list(rows[0])]
    cells += [
        [f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells
    )


if __name__ == "__main__":
    main()
