from __future__ import annotations

from pathlib import Path

import pytest

from tabloop.artifacts.run_summary import RunSummary, select_runs
from tabloop.errors import DataError, FormulaError


def run(name: str, state: str = "passed", size_bytes: int = 1_000_000, **figures: object) -> RunSummary:
    return RunSummary(
        name,
        state,
        "2026-01-01T00:00:00Z",
        name == "b",
        size_bytes,
        Path(name),
        **figures,  # type: ignore[arg-type]
    )


RUNS = [
    run("a", roc_auc=0.9, feasible=True),
    run("b", roc_auc=0.97, tags=("old-prices", "keep")),
    run("c", "open", size_bytes=9_000_000),
    run("d", "refused", roc_auc=0.96, feasible=False),
]


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("roc_auc > 0.95", "bd"),
        ("roc_auc > 0.95 and not champion", "d"),
        ("open or refused", "cd"),
        ("isnull(roc_auc)", "c"),
        ("size_mb > 5 and age_days > 1", "c"),
        ("keep and `old-prices`", "b"),
        ("feasible", "a"),
        ("roc_auc < 0.1", ""),
    ],
)
def test_a_condition_chooses(where: str, names: str) -> None:
    assert "".join(each.run_id for each in select_runs(RUNS, where)) == names


@pytest.mark.parametrize(
    ("sort", "names"), [("roc_auc", "adbc"), ("-roc_auc", "bdac"), ("-run_id", "dcba"), ("size_mb", "abdc")]
)
def test_a_figure_sorts_and_what_has_none_comes_last(sort: str, names: str) -> None:
    assert "".join(each.run_id for each in select_runs(RUNS, sort=sort)) == names


@pytest.mark.parametrize("where", ["roc_au > 1", "__import__('os')", "roc_auc", "keep > 1", "roc_auc >"])
def test_what_is_no_condition_is_refused_with_its_place(where: str) -> None:
    with pytest.raises(FormulaError, match="position"):
        select_runs(RUNS, where)


def test_an_unknown_figure_is_answered_with_the_nearest() -> None:
    with pytest.raises(DataError, match="did you mean roc_auc"):
        select_runs(RUNS, sort="roc_au")
