"""Measure drift detectors on real rows: false alarms in quiet windows, and how often a planted shift is seen.

Rows are split again and again: four fifths are the reference, windows are drawn from the fifth that no limit
has seen, without replacement where they fit into it, otherwise with. Such a large window has the sampling
error of the fifth in it, on top of its own: it is quiet all the same, and no detector is told::

    OMP_NUM_THREADS=1 python benchmarks/drift.py --data students.csv
    OMP_NUM_THREADS=1 python benchmarks/drift.py --quiet 2000 --splits 10 --only tabloop
    python benchmarks/drift.py --evidently /path/to/venv/bin/python --nannyml /path/to/venv/bin/python

The detectors, each at its defaults:

- tabloop: the windowed tests.
- rule: the z-score rule alone, means in units of the training standard deviation.
- evidently: a column drifts at a normalised Wasserstein distance (numbers with more than five values) or a
  Jensen-Shannon distance of 0.1, where the reference has more than 1,000 rows [1]_; "any" is one column,
  "half" the dataset's verdict, half of the columns.
- nannyml: a column drifts at a Jensen-Shannon distance, over Doane's bins or categories, of three standard
  deviations above the mean of the reference's own chunks of the window's size [2]_.
- psi: any population stability index above 0.2, ten quantile bins.

Without the options the rules of evidently and nannyml are computed here as they are documented; with an
interpreter that has the library, the library itself decides.

References
----------
.. [1] Evidently documentation, "Data drift algorithm": tabular data, large reference.
.. [2] NannyML documentation, "Univariate drift detection" and "Thresholds": defaults of the calculator.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import beta, wasserstein_distance
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from tabloop.config.loading import load_project
from tabloop.config.monitoring import MonitoringConfig
from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import feature_frame
from tabloop.data.dataset import read_dataset
from tabloop.drift.baseline import build_drift_baseline
from tabloop.drift.reference import DriftReference, build_drift_reference
from tabloop.drift.window import DriftRows, DriftWindow
from tabloop.drift.windowed_test import WindowedDriftTest
from tabloop.drift.zscore_rule import check_drift
from tabloop.training.threshold import calibrate_threshold

ROOT = Path(__file__).parents[1]
SIZES = (50, 100, 200, 500, 1_000, 5_000, 10_000, 100_000)
SHIFT_SIZES = (200, 1_000)
Detector = Callable[[list["Window"]], list[bool]]


@dataclass(frozen=True)
class Window:
    """Rows as every detector gets them."""

    numeric: dict[str, NDArray[np.float64]]
    categories: dict[str, list[str | None]]
    probability: NDArray[np.float64]
    label: NDArray[np.int8]

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """Every feature.

        The probability is left to tabloop: out-of-fold scores are no reference that the others could use.
        """
        texts = {name: np.array(values, dtype=object) for name, values in self.categories.items()}
        return {**self.numeric, **texts}


@dataclass(frozen=True)
class World:
    """One split of the rows, with a model of its reference part."""

    contract: Contract
    known: pl.DataFrame
    fresh: pl.DataFrame
    model: HistGradientBoostingClassifier
    oof: NDArray[np.float64]
    threshold: float
    seed: int

    @cached_property
    def features(self) -> pl.DataFrame:
        """The reference part as the model sees it."""
        return feature_frame(self.contract, self.known)

    @cached_property
    def y(self) -> NDArray[np.int8]:
        """Its target."""
        return np.asarray(self.known[self.contract.target.name].to_numpy(), dtype=np.int8)

    @cached_property
    def reference(self) -> DriftReference:
        """What a run keeps."""
        return build_drift_reference(
            self.contract, self.features, self.y, self.oof, max_rows=20_000, seed=self.seed
        )

    def window(self, rows: pl.DataFrame) -> Window:
        """Score rows as the run would."""
        frame = feature_frame(self.contract, rows)
        probability = self.model.predict_proba(frame.select(self.contract.numeric_features).to_numpy())[:, 1]
        return Window(
            {name: frame[name].to_numpy() for name in self.contract.numeric_features},
            {name: frame[name].to_list() for name in self.contract.category_features},
            probability,
            (probability >= self.threshold).astype(np.int8),
        )

    @cached_property
    def reference_window(self) -> Window:
        """The reference as a window, for the detectors that know no other form."""
        return Window(
            {name: self.features[name].to_numpy() for name in self.contract.numeric_features},
            {name: self.features[name].to_list() for name in self.contract.category_features},
            self.oof,
            (self.oof >= self.threshold).astype(np.int8),
        )


def make_world(contract: Contract, frame: pl.DataFrame, seed: int) -> World:
    """Split, and train on the larger part."""
    order = np.random.default_rng(seed).permutation(frame.height)
    n_known = round(0.8 * frame.height)
    known, fresh = frame[order[:n_known]], frame[order[n_known:]]
    X = feature_frame(contract, known).select(contract.numeric_features).to_numpy()
    y = known[contract.target.name].to_numpy()
    model = HistGradientBoostingClassifier(random_state=0)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    oof = cross_val_predict(model, X, y, cv=folds, method="predict_proba")[:, 1]
    threshold = calibrate_threshold(y, oof, target_precision=0.9, confidence=0.95).threshold
    return World(contract, known, fresh, model.fit(X, y), oof, threshold, seed)


def tabloop(world: World) -> Detector:
    """Ours, at the defaults."""
    test = WindowedDriftTest(world.reference, MonitoringConfig())
    return lambda windows: [test.check(as_rows(world.reference, window)).alarmed for window in windows]


def as_rows(reference: DriftReference, window: Window) -> DriftRows:
    """Put a window through the ring that serving uses."""
    n_rows = len(window.probability)
    ring = DriftWindow(reference, n_rows)
    ring.update(window.numeric, window.categories, window.probability, window.label)
    return ring.latest(n_rows)


def rule(world: World) -> Detector:
    """Apply the z-score rule."""
    baseline = build_drift_baseline(world.contract, world.features, world.y, world.oof, world.threshold)
    config = MonitoringConfig()
    return lambda windows: [
        check_drift(baseline, window.numeric, window.label, config).should_retrain for window in windows
    ]


def evidently(world: World, share: float) -> Detector:
    """Evidently's documented default for a reference of more than 1,000 rows."""
    reference = {name: present(values) for name, values in world.reference_window.columns.items()}
    spread = {
        name: max(float(np.std(values)), 0.001)
        for name, values in reference.items()
        if values.dtype != object
    }

    def drifted(name: str, now: NDArray[Any]) -> bool:
        if not len(now):
            return True
        then = reference[name]
        if name in spread and len(np.unique(then)) > 5:
            return bool(wasserstein_distance(then, now) / spread[name] >= 0.1)
        return jensen_shannon_of_categories(then, now) >= 0.1

    def alarms(window: Window) -> bool:
        verdicts = [drifted(name, present(values)) for name, values in window.columns.items()]
        return any(verdicts) if share == 0 else float(np.mean(verdicts)) >= share

    return lambda windows: [alarms(window) for window in windows]


def nannyml(world: World) -> Detector:
    """NannyML's documented default."""
    reference = {name: present(values) for name, values in world.reference_window.columns.items()}
    edges = {
        name: np.histogram_bin_edges(values, bins="doane")
        for name, values in reference.items()
        if values.dtype != object and (n := len(np.unique(values))) and (n > 50 or n / len(values) > 0.1)
    }

    def distance(name: str, now: NDArray[Any]) -> float:
        then = reference[name]
        if name not in edges:
            return jensen_shannon_of_categories(then, now)
        q, p = (np.histogram(v, bins=edges[name])[0] / max(1, len(v)) for v in (then, now))
        return jensen_shannon(np.append(q, 0.0), np.append(p, max(0.0, 1 - p.sum())))

    limits: dict[int, dict[str, float]] = {}

    def limits_for(size: int) -> dict[str, float]:
        if size not in limits:
            limits[size] = {}
            for name, values in world.reference_window.columns.items():
                chunks = [values[at : at + size] for at in range(0, len(values), size)]
                found = [distance(name, present(chunk)) for chunk in chunks]
                limits[size][name] = float(np.mean(found) + 3 * np.std(found))
        return limits[size]

    def alarms(window: Window) -> bool:
        known = limits_for(len(window.probability))
        return any(distance(name, present(values)) > known[name] for name, values in window.columns.items())

    return lambda windows: [alarms(window) for window in windows]


def psi(world: World) -> Detector:
    """Alarm at a population stability index above 0.2, in any numeric feature."""
    reference = world.reference_window.columns
    edges = {
        name: np.unique(np.nanquantile(values, np.arange(1, 10) / 10))
        for name, values in reference.items()
        if values.dtype != object
    }

    def shares(name: str, values: NDArray[Any]) -> NDArray[np.float64]:
        codes = np.searchsorted(edges[name], present(values), "right")
        counts = np.bincount(codes, minlength=len(edges[name]) + 1)
        return np.asarray(np.maximum(counts / max(1, counts.sum()), 1e-4))

    before = {name: shares(name, reference[name]) for name in edges}

    def index(name: str, values: NDArray[Any]) -> float:
        p, q = before[name], shares(name, values)
        return float(np.sum((q - p) * np.log(q / p)))

    return lambda windows: [any(index(name, w.columns[name]) > 0.2 for name in edges) for w in windows]


def present(values: NDArray[Any]) -> NDArray[Any]:
    """Leave out what is missing."""
    missing = [value is None for value in values] if values.dtype == object else np.isnan(values)
    return np.asarray(values[~np.asarray(missing, dtype=np.bool_)])


def jensen_shannon_of_categories(then: NDArray[Any], now: NDArray[Any]) -> float:
    """Measure the Jensen-Shannon distance, base 2, over the values themselves."""
    if not len(now):
        return 1.0
    words, codes = np.unique(np.concatenate([then, now]).astype(str), return_inverse=True)
    p = np.bincount(codes[: len(then)], minlength=len(words))
    q = np.bincount(codes[len(then) :], minlength=len(words))
    return jensen_shannon(p / p.sum(), q / q.sum())


def jensen_shannon(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """Measure the distance, base 2; of equal shares it is the root of a rounding error, negative at times."""
    with np.errstate(invalid="ignore"):
        return float(np.nan_to_num(jensenshannon(p, q, base=2)))


def library(name: str, python: str, world: World, share: float = 0.0) -> Detector:
    """Let the library itself decide, in an interpreter that has it."""

    def alarms(windows: list[Window]) -> list[bool]:
        with tempfile.TemporaryDirectory() as folder:
            for at, window in enumerate([world.reference_window, *windows]):
                pl.DataFrame(window.columns, strict=False).write_csv(Path(folder) / f"{at:05}.csv")
            done = subprocess.run(
                [python, str(Path(__file__).with_name("drift_library.py")), name, folder],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                sys.exit(f"{name}: {done.stderr[-2000:]}")
            return [count > 0 if share == 0 else part >= share
                    for count, part in json.loads(done.stdout.splitlines()[-1])]  # fmt: skip

    return alarms


def quiet_windows(world: World, size: int, n: int, rng: np.random.Generator) -> Iterator[pl.DataFrame]:
    """Draw rows that the limits never saw."""
    fresh = world.fresh
    for _ in range(n):
        yield fresh[rng.choice(fresh.height, size, replace=size > fresh.height)]


def shifts(world: World) -> dict[str, Callable[[pl.DataFrame, np.random.Generator], pl.DataFrame]]:
    """Plant what goes wrong; whole numbers stay whole, engineered features and scores follow."""
    numbers = [n for n in world.contract.numeric_features if n in world.known.columns]
    spread = {name: float(world.known[name].std() or 0.0) for name in numbers}  # type: ignore[arg-type]
    whole = {name for name in numbers if world.known[name].dtype.is_integer()}

    def changed(rows: pl.DataFrame, name: str, values: NDArray[np.float64], rng: Any) -> pl.DataFrame:
        if name in whole:
            values = np.floor(values + rng.random(len(values)))
        return rows.with_columns(pl.Series(name, values).cast(rows[name].dtype))

    def mean(by: float, n_features: int) -> Any:
        def plant(rows: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
            for name in rng.choice(numbers, n_features, replace=False).tolist():
                rows = changed(rows, name, rows[name].to_numpy() + by * spread[name], rng)
            return rows

        return plant

    def scaled(by: float, around_mean: bool, names: list[str]) -> Any:
        def plant(rows: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
            name = str(rng.choice(names))
            values = rows[name].to_numpy().astype(np.float64)
            centre = values.mean() if around_mean else 0.0
            return changed(rows, name, (values - centre) * by + centre, rng)

        return plant

    def nulled(share: float) -> Any:
        def plant(rows: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
            name, hit = str(rng.choice(numbers)), pl.Series(rng.random(rows.height) < share)
            return rows.with_columns(pl.when(hit).then(None).otherwise(pl.col(name)).alias(name))

        return plant

    def mixed(share: float, where: pl.Expr) -> Any:
        segment = world.fresh.filter(where)

        def plant(rows: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
            n = round(share * rows.height)
            more = segment[rng.choice(segment.height, n, replace=n > segment.height)]
            return pl.concat([rows[n:], more])

        return plant

    planted: dict[str, Any] = {}
    for by in (0.1, 0.25, 0.5, 1.0):
        for n_features in (1, 2):
            planted[f"mean by {by:g} sd in {n_features}"] = mean(by, n_features)
    minutes = [name for name in numbers if "minutes" in name] or numbers
    planted |= {
        "scale x1.5": scaled(1.5, True, numbers),
        "unit error x60": scaled(60.0, False, minutes),
        "unit error x1000": scaled(1000.0, False, minutes),
        "nulls 5%": nulled(0.05),
        "nulls 100%": nulled(1.0),
    }
    if "student_country" in world.known.columns:
        country, days = pl.col("student_country"), pl.col("days_on_platform")
        planted |= {
            "India's share +5 points": mixed(0.062, country == "IN"),
            "Egypt's share +10 points": mixed(0.11, country == "EG"),
            "India only": mixed(1.0, country == "IN"),
            "newer students (30 days) +10%": mixed(0.1, days < 30),
            "newer students (60 days) only": mixed(1.0, days < 60),
        }
    return planted


def interval(count: int, n: int) -> str:
    """Share with its Clopper-Pearson 95% interval, in percent."""
    low = beta.ppf(0.025, count, n - count + 1) if count else 0.0
    high = beta.ppf(0.975, count + 1, n - count) if count < n else 1.0
    return f"{100 * count / n:.1f} ({100 * low:.1f}-{100 * high:.1f})"


def main() -> None:
    """Print both tables in Markdown."""
    options = parse()
    path = options.data or Path(os.environ.get("TABLOOP_REAL_DATA", "")) / "ml_datasource.csv"
    if not path.is_file():
        sys.exit(f"{path}: no such file; give --data PATH or set TABLOOP_REAL_DATA")
    project = load_project(ROOT / "config.yaml", environ={}, overrides=[f"data.source.path={path}"])
    frame = read_dataset(project.config.data, project.contract, path).frame
    quiet: dict[tuple[str, int], list[bool]] = {}
    seen: dict[tuple[str, str, int], list[bool]] = {}
    for seed in range(options.splits):
        world = make_world(project.contract, frame, seed)
        detectors = make_detectors(world, options)
        rng = np.random.default_rng([seed, 1])
        for size in options.sizes:
            n = max(2, min(options.quiet, options.most_rows // size) // options.splits)
            windows = [world.window(rows) for rows in quiet_windows(world, size, n, rng)]
            for name, detector in detectors.items():
                few = windows if name == "tabloop" else windows[: max(1, options.others // options.splits)]
                quiet.setdefault((name, size), []).extend(detector(few))
        for shift, plant in shifts(world).items() if options.shifted else ():
            for size in SHIFT_SIZES:
                n = max(1, options.shifted // options.splits)
                windows = [world.window(plant(rows, rng)) for rows in quiet_windows(world, size, n, rng)]
                for name, detector in detectors.items():
                    seen.setdefault((shift, name, size), []).extend(detector(windows))
        print(f"split {seed + 1} of {options.splits}: {world.known.height:,} reference rows, "
              f"{world.fresh.height:,} fresh", file=sys.stderr)  # fmt: skip
    names = list(dict.fromkeys(name for name, _ in quiet))
    print(f"\nAlarms in quiet windows, % (95% interval), over {options.splits} splits\n")
    print("| rows | windows | " + " | ".join(names) + " |\n|" + "---|" * (len(names) + 2))
    for size in options.sizes:
        cells = [interval(sum(quiet[name, size]), len(quiet[name, size])) for name in names]
        print(f"| {size:,} | {len(quiet[names[0], size]):,} | " + " | ".join(cells) + " |")
    print(
        "\nAlarms when something happened, %, in windows of "
        + " / ".join(f"{s:,}" for s in SHIFT_SIZES)
        + " rows\n"
    )
    print("| shift | " + " | ".join(names) + " |\n|" + "---|" * (len(names) + 1))
    for shift in dict.fromkeys(key[0] for key in seen):
        cells = [
            " / ".join(f"{100 * np.mean(seen[shift, name, s]):.0f}" for s in SHIFT_SIZES) for name in names
        ]
        print(f"| {shift} | " + " | ".join(cells) + " |")


def make_detectors(world: World, options: argparse.Namespace) -> dict[str, Detector]:
    """Fit every detector that was asked for."""
    detectors = {"tabloop": tabloop(world), "rule": rule(world)}
    if options.evidently:
        detectors["evidently any"] = library("evidently", options.evidently, world)
        detectors["evidently half"] = library("evidently", options.evidently, world, share=0.5)
    else:
        detectors["evidently any (documented)"] = evidently(world, 0.0)
        detectors["evidently half (documented)"] = evidently(world, 0.5)
    if options.nannyml:
        detectors["nannyml"] = library("nannyml", options.nannyml, world)
    else:
        detectors["nannyml (documented)"] = nannyml(world)
    detectors["psi > 0.2"] = psi(world)
    return {name: d for name, d in detectors.items() if not options.only or name in options.only}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="a CSV that config.yaml reads; else from TABLOOP_REAL_DATA")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--quiet", type=int, default=2000, help="quiet windows of each size, ours")
    parser.add_argument("--others", type=int, default=200, help="of those, for the other detectors")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="rows of a quiet window")
    parser.add_argument("--most-rows", type=int, default=2_000_000, help="in all quiet windows of a size")
    parser.add_argument("--shifted", type=int, default=100, help="shifted windows of each kind and size")
    parser.add_argument("--only", action="append", help="a detector; may be repeated")
    parser.add_argument("--evidently", help="an interpreter that has evidently")
    parser.add_argument("--nannyml", help="an interpreter that has nannyml")
    return parser.parse_args()


if __name__ == "__main__":
    main()
