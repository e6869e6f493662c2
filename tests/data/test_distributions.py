"""What the rows look like, in both parts, and which were refused."""

from __future__ import annotations

import json

import polars as pl

from tabloop.contract.contract import Contract
from tabloop.data.distributions import describe_rows

CONTRACT = Contract.from_dict(
    {
        "columns": {"age": {"type": "number"}, "country": {"type": "category", "open": True}},
        "target": {"name": "bought"},
    }
)


def refused(line: int, column: str, reason: str, value: str) -> bytes:
    problem = {"column": column, "reason": reason, "value": value, "expected": "something else"}
    return json.dumps({"line": line, "problems": [problem]}).encode()


def test_both_parts_are_counted_and_refusals_by_reason_and_column() -> None:
    train = pl.DataFrame(
        {"age": [float(i) for i in range(80)], "country": ["DE", "FR"] * 40, "bought": [0, 1] * 40}
    )
    test = pl.DataFrame({"age": [float(i) for i in range(20)], "country": ["DE"] * 20, "bought": [0] * 20})
    lines = [
        refused(3, "age", "above maximum", "x" * 10_000),
        refused(5, "age", "above maximum", "200"),
        refused(6, "age", "not a number", "old"),
        refused(9, "country", "pattern", "<script>"),
    ]
    found = describe_rows(CONTRACT, train, test, lines, refused_rows=6)
    assert (found.rows, found.test_rows) == (100, 20)
    (age,) = found.numeric
    assert sum(age.training_rows) == 80
    assert sum(age.test_rows) == 20
    assert [t + n for t, n in zip(age.training_rows, age.test_rows, strict=True)] == [
        n + p for n, p in zip(age.negative_rows, age.positive_rows, strict=True)
    ]
    assert [(each.value, each.rows, each.test_rows) for each in found.categories[0].commonest] == [
        ("DE", 60, 20),
        ("FR", 40, 0),
    ]
    assert [(each.column, each.rows) for each in found.refusals] == [("age", 2), ("age", 1), ("country", 1)]
    assert len(found.refusals[0].example) < 300
    assert (found.refused_rows, found.described_refused_rows) == (6, 4)
