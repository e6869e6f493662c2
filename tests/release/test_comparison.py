from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tabloop.config.release import ReleaseConfig
from tabloop.release.comparison import foresee_comparison, judge_comparison, next_step
from tabloop.statistics.paired_bootstrap import compare_paired

FLOORS = ReleaseConfig.model_validate({})


def scored(n_rows: int, seed: int) -> tuple[NDArray[np.int8], NDArray[np.float64], NDArray[np.float64]]:
    """Targets, and two equally good models that share half of their errors."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n_rows) < 0.1).astype(np.int8)
    shared = rng.normal(size=n_rows)
    scores = [2.0 * y + (shared + rng.normal(size=n_rows)) / np.sqrt(2) for _ in range(2)]
    return y, *(1 / (1 + np.exp(2.5 - each)) for each in scores)


def test_too_few_rows_refuse_and_say_how_many_would_do() -> None:
    y, new, old = scored(600, seed=4)
    gate = judge_comparison("quality", compare_paired(y, new, old), FLOORS)
    assert not gate.passed
    needed = gate.evidence["positives_needed"]
    assert f"{int(y.sum())} positive rows prove no more, about {needed:,} would" in gate.reason
    assert needed > y.sum()
    enough = ReleaseConfig.model_validate(gate.evidence["margins_that_would_do"])
    assert judge_comparison("quality", compare_paired(y, new, old), enough).passed
    assert f"--set release.roc_auc_margin={enough.roc_auc_margin}" in next_step(gate)


def test_what_is_as_good_on_enough_rows_passes_and_what_is_worse_does_not() -> None:
    y, new, old = scored(40_000, seed=1)
    assert judge_comparison("quality", compare_paired(y, new, old, resamples=200), FLOORS).passed
    worse = np.where(np.random.default_rng(2).random(len(y)) < 0.05, 0.5, new)
    gate = judge_comparison("quality", compare_paired(y, worse, old, resamples=200), FLOORS)
    assert not gate.passed
    assert "positives_needed" not in gate.evidence  # more rows would only prove it
    assert "tabloop run" not in next_step(gate)


def test_the_same_model_passes_on_any_rows() -> None:
    y, new, _ = scored(60, seed=0)
    assert judge_comparison("quality", compare_paired(y, new, new), FLOORS).passed


def test_the_evidence_says_how_the_comparison_was_made() -> None:
    y, new, old = scored(300, seed=3)
    for challenger in (new, old):  # of equal models nothing is drawn, and the evidence is the same
        gate = judge_comparison("quality", compare_paired(y, challenger, old, resamples=50, seed=7), FLOORS)
        assert set(gate.evidence) - {"positives_needed", "margins_that_would_do"} == {
            "rows", "positive_rows", "roc_auc", "brier_score", "confidence", "resamples", "seed",
            "roc_auc_margin", "brier_margin", "may_be_lower_as_measured", "difference", "interval",
        }  # fmt: skip
        assert (gate.evidence["confidence"], gate.evidence["resamples"], gate.evidence["seed"]) == (
            0.95,
            50,
            7,
        )


def test_what_is_foreseen_is_about_what_is_needed() -> None:
    """The bound on so many positives reaches the margin, give or take the half that the models share."""
    y, proba, _ = scored(2_000, seed=5)
    foreseen = foresee_comparison(y, proba, FLOORS, fresh_rows=500, fresh_margin=0.02)
    needed = foreseen["test"]["needed"]
    assert foreseen["test"]["enough"] == (y.sum() >= needed)
    many, new, old = scored(needed * 10, seed=6)
    compared = compare_paired(many, new, old, resamples=400)
    assert compared.roc_auc.difference - compared.roc_auc.low == pytest.approx(0.01, rel=0.3)
    assert "or a release.roc_auc_margin of 0.0" in foreseen["said"]
    assert foreseen["fresh"]["positives"] == round(500 * y.sum() / len(y))
