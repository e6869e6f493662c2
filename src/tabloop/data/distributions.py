"""What the rows of a run look like, column by column, and which were refused."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tabloop.artifacts.documents.distributions import (
    CategoryCount,
    CategoryDistribution,
    Distributions,
    NumericDistribution,
    RefusalCount,
)
from tabloop.contract.columns.boolean import BooleanColumn
from tabloop.contract.columns.category import CategoryColumn
from tabloop.contract.contract import Contract
from tabloop.statistics.intervals import exact_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BINS, _COMMONEST = 20, 10
_MOST_CHARACTERS = 200


def describe_rows(
    contract: Contract,
    train: pl.DataFrame,
    test: pl.DataFrame,
    quarantine_lines: Iterable[bytes],
    *,
    refused_rows: int,
) -> Distributions:
    """Describe the accepted rows of a run, and those in quarantine.

    Parameters
    ----------
    contract : Contract
        The contract that describes the columns.
    train, test : polars.DataFrame
        Accepted rows of both parts, with the target.
    quarantine_lines : iterable of bytes
        The lines of `quarantine.jsonl`.
    refused_rows : int
        How many were refused, also those that are not written down.
    """
    frame = pl.concat([train, test])
    y_true = frame[contract.target.name].to_numpy()
    is_test = np.arange(frame.height) >= train.height
    numeric, categories = [], []
    for name, column in contract.columns.items():
        if isinstance(column, CategoryColumn | BooleanColumn):
            categories.append(_category(name, frame[name], y_true, is_test))
        elif column.formula_kind != "text":
            numeric.append(_numeric(name, column.formula_numbers(frame[name]), y_true, is_test))
    refusals, described = _refusals(quarantine_lines)
    return Distributions(
        rows=frame.height,
        positive_rows=int(y_true.sum()),
        numeric=tuple(numeric),
        categories=tuple(categories),
        refused_rows=refused_rows,
        described_refused_rows=described,
        refusals=refusals,
        test_rows=test.height,
    )


def _numeric(
    name: str, values: NDArray[np.float64], y_true: NDArray[np.int8], is_test: NDArray[np.bool_]
) -> NumericDistribution:
    is_there = np.isfinite(values)
    present, labels, tested = values[is_there], y_true[is_there], is_test[is_there]
    low, high = (float(q) for q in np.quantile(present, [0.01, 0.99])) if len(present) else (0.0, 0.0)
    edges = np.linspace(low, high, _BINS + 1) if low < high else np.empty(0)
    counts = [np.empty(0, dtype=np.int64)] * 4
    if len(edges):
        inside = np.clip(present, low, high)
        groups = (labels == 0, labels == 1, ~tested, tested)
        counts = [np.histogram(inside[group], edges)[0] for group in groups]
    return NumericDistribution(
        column=name,
        missing_rows=int((~is_there).sum()),
        minimum=float(present.min()) if len(present) else None,
        median=float(np.median(present)) if len(present) else None,
        maximum=float(present.max()) if len(present) else None,
        edges=tuple(edges.tolist()),
        negative_rows=tuple(counts[0].tolist()),
        positive_rows=tuple(counts[1].tolist()),
        below_rows=int((present < low).sum()),
        above_rows=int((present > high).sum()),
        training_rows=tuple(counts[2].tolist()),
        test_rows=tuple(counts[3].tolist()),
    )


def _category(
    name: str, values: pl.Series, y_true: NDArray[np.int8], is_test: NDArray[np.bool_]
) -> CategoryDistribution:
    table = pl.DataFrame({"value": values.cast(pl.String), "y": y_true, "is_test": is_test})
    table = table.drop_nulls("value")
    counts = (
        table.group_by("value")
        .agg(
            pl.len().alias("rows"),
            pl.col("y").cast(pl.Int64).sum().alias("positives"),
            pl.col("is_test").sum().alias("test_rows"),
        )
        .sort(["rows", "value"], descending=[True, False])
    )
    commonest = [
        CategoryCount(
            value=value,
            rows=rows,
            positive_rows=hits,
            interval=exact_interval(hits, rows),
            test_rows=test_rows,
        )
        for value, rows, hits, test_rows in counts.head(_COMMONEST).iter_rows()
    ]
    return CategoryDistribution(
        column=name,
        missing_rows=values.null_count(),
        distinct=counts.height,
        commonest=tuple(commonest),
        other_rows=table.height - sum(each.rows for each in commonest),
    )


def _refusals(lines: Iterable[bytes]) -> tuple[tuple[RefusalCount, ...], int]:
    """Count the reasons of the rows that are written down."""
    counts: dict[tuple[str, str], int] = {}
    examples: dict[tuple[str, str], str] = {}
    described = 0
    for line in lines:
        refused: dict[str, Any] = json.loads(line)
        described += 1
        for problem in refused["problems"]:
            clause = (str(problem["column"]), f"{problem['column']}: {problem['reason']}")
            counts[clause] = counts.get(clause, 0) + 1
            if clause not in examples:
                got = json.dumps(problem["value"], ensure_ascii=False)[:_MOST_CHARACTERS]
                examples[clause] = f"line {refused['line']}: got {got}, expected {problem['expected']}"
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    refusals = [
        RefusalCount(reason=clause[1], rows=n, example=examples[clause], column=clause[0])
        for clause, n in ordered
    ]
    return tuple(refusals), described
