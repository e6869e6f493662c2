"""How often a challenger is let out, by what it learned from: honest feedback, lies, floods, an overfit.

Each world splits the table anew: reference rows (a fifth of them frozen), feedback to learn from, fresh rows
to judge on. Champion and challenger are gradient boosting on the numeric columns; the gates are those of
`tabloop retrain` at their defaults.

    python benchmarks/retraining_gates.py --real ml_datasource.csv --worlds 100
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.tree import DecisionTreeClassifier

from tabloop.config.release import ReleaseConfig
from tabloop.config.retraining import RetrainingConfig
from tabloop.release.comparison import judge_comparison
from tabloop.statistics.paired_bootstrap import compare_paired

ROOT = Path(__file__).parents[1]
REFERENCE, FEEDBACK = 8_000, 4_000
MINUTES = 1
MOST_MINUTES = 50.0

X = NDArray[np.float64]
Y = NDArray[np.int8]
Labels = Callable[[X, Y, np.random.Generator], Y]


def honest(x: X, y: Y, rng: np.random.Generator) -> Y:
    """Tell the truth."""
    return y


def all_flipped(x: X, y: Y, rng: np.random.Generator) -> Y:
    """Turn every label round."""
    return (1 - y).astype(np.int8)


def fifth_flipped(x: X, y: Y, rng: np.random.Generator) -> Y:
    """Turn one label in five round."""
    return np.where(rng.random(len(y)) < 0.2, 1 - y, y).astype(np.int8)


def half_positive(x: X, y: Y, rng: np.random.Generator) -> Y:
    """Call every other row positive, whatever it is."""
    return np.where(rng.random(len(y)) < 0.5, 1, y).astype(np.int8)


def boosting() -> HistGradientBoostingClassifier:
    """Make the model that champion and honest challengers are."""
    return HistGradientBoostingClassifier(max_iter=60, random_state=0)


def memory() -> DecisionTreeClassifier:
    """Make a model that learns its rows by heart."""
    return DecisionTreeClassifier(random_state=0)


#: Name, labels of the feedback and of the fresh rows, whether the reference lacks a segment, the model.
CASES = (
    ("equal: honest feedback, nothing changed", honest, honest, False, boosting),
    ("better: those who watch much are new to the champion", honest, honest, True, boosting),
    ("every label flipped, fresh rows too", all_flipped, all_flipped, False, boosting),
    ("every label flipped, fresh rows honest", all_flipped, honest, False, boosting),
    ("one label in five flipped, fresh rows too", fifth_flipped, fifth_flipped, False, boosting),
    ("every other row called positive, fresh rows too", half_positive, half_positive, False, boosting),
    ("overfit: a tree that learned every row by heart", honest, honest, False, memory),
)


def one_world(
    x: X, y: Y, n_fresh: int, case: tuple[str, Labels, Labels, bool, Callable[[], object]], seed: int
) -> tuple[bool, bool]:
    """Give the verdicts of the frozen test rows and of the fresh rows."""
    _, of_feedback, of_fresh, lacks_segment, make = case
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    reference, feedback, fresh = np.split(
        order[: REFERENCE + FEEDBACK + n_fresh], [REFERENCE, REFERENCE + FEEDBACK]
    )
    if lacks_segment:
        reference = reference[x[reference, MINUTES] < MOST_MINUTES]
    frozen, train = np.split(reference, [len(reference) // 5])
    champion = boosting().fit(x[train], y[train])
    learned = np.concatenate([train, feedback])
    labels = np.concatenate([y[train], of_feedback(x[feedback], y[feedback], rng)])
    challenger = make().fit(x[learned], labels)  # type: ignore[attr-defined]
    floors, fresh_margin = ReleaseConfig.model_validate({}), RetrainingConfig().fresh_margin
    verdicts = []
    for rows, truth, margin, as_measured in (
        (frozen, y[frozen], floors.roc_auc_margin, False),
        (fresh, of_fresh(x[fresh], y[fresh], rng), fresh_margin, True),
    ):
        compared = compare_paired(
            truth,
            challenger.predict_proba(x[rows])[:, 1],
            champion.predict_proba(x[rows])[:, 1],
            confidence=floors.confidence,
            resamples=500,
            seed=seed,
        )
        gate = judge_comparison("", compared, floors, margin=margin, as_measured=as_measured)
        verdicts.append(gate.passed)
    return verdicts[0], verdicts[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--real", type=Path, default=ROOT / "data" / "ml_datasource.csv")
    parser.add_argument("--worlds", type=int, default=40)
    parser.add_argument("--fresh", type=int, nargs="+", default=[500, 2_000])
    arguments = parser.parse_args()
    table = pl.read_csv(arguments.real, infer_schema_length=None)
    y = table["purchased"].to_numpy().astype(np.int8)
    x = table.drop("student_country", "purchased").cast(pl.Float64).to_numpy()
    print(f"{arguments.worlds} worlds; the share that passes, in percent\n")
    print("| challenger | fresh rows | frozen test | fresh rows gate | both: goes live |")
    print("|---|---|---|---|---|")
    for case in CASES:
        for n_fresh in arguments.fresh:
            passed = np.array([one_world(x, y, n_fresh, case, seed) for seed in range(arguments.worlds)])
            frozen, fresh = 100 * passed.mean(axis=0)
            both = 100 * passed.all(axis=1).mean()
            print(f"| {case[0]} | {n_fresh:,} | {frozen:.0f} | {fresh:.0f} | {both:.0f} |", flush=True)


if __name__ == "__main__":
    main()
