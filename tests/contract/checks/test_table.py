from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from tabloop.contract.checks.table import check_table, require_columns
from tabloop.contract.contract import Contract
from tabloop.errors import ContractError, DataError

EVERY_TYPE: dict[str, Any] = {
    "columns": {
        "count": {"type": "integer", "minimum": 0, "maximum": 10},
        "amount": {"type": "number", "minimum": -1.5, "nullable": True, "null_values": ["?"]},
        "grade": {"type": "category", "categories": ["A", "B"]},
        "member": {"type": "boolean", "true_values": ["yes"], "false_values": ["no"]},
        "note": {"type": "text", "max_length": 5, "nullable": True},
        "since": {"type": "timestamp", "minimum": "2020-01-01T00:00:00Z"},
    },
    "rules": ["count <= 8 or amount > 0"],
    "target": {"name": "left", "positive": "yes", "negative": "no"},
}
GOOD = {
    "count": "3",
    "amount": "0.5",
    "grade": "A",
    "member": "yes",
    "note": "fine",
    "since": "2021-05-01",
    "left": "no",
}


@pytest.fixture
def every_type() -> Contract:
    return Contract.from_dict(EVERY_TYPE)


def table(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([GOOD | row for row in rows], schema=dict.fromkeys(GOOD, pl.String))


def test_a_good_row_is_accepted_in_the_contracts_types(every_type: Contract) -> None:
    report = check_table(every_type, table({}), with_target=True)
    assert report.refused == []
    row = report.accepted.row(0, named=True)
    assert (row["count"], row["amount"], row["member"], row["left"]) == (3, 0.5, True, 0)
    assert row["since"].isoformat() == "2021-05-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("column", "value", "reason", "expected"),
    [
        ("count", "3.5", "type", "a whole number"),
        ("count", "three", "type", "a whole number"),
        ("count", "9007199254740993", "type", "2**53"),
        ("count", "1e400", "type", "a whole number"),
        ("count", "-1", "range", "at least 0"),
        ("count", "11", "range", "at most 10"),
        ("count", "", "null", "not nullable"),
        ("count", "?", "type", "a whole number"),  # a null text of another column only
        ("amount", "nan", "type", "a finite number"),
        ("amount", "inf", "type", "a finite number"),
        ("amount", "1e400", "type", "a finite number"),
        ("amount", "-2", "range", "at least -1.5"),
        ("grade", "C", "category", "one of A, B"),
        ("grade", "A\0", "text", "without NUL"),
        ("member", "1", "type", "yes for true, no for false"),
        ("note", "too long", "length", "at most 5 characters"),
        ("since", "2019-12-31", "range", "at least 2020-01-01"),
        ("since", "yesterday", "type", "ISO 8601"),
        ("left", None, "null", "target"),
    ],
)
def test_one_bad_cell_refuses_its_row_alone(
    every_type: Contract, column: str, value: str | None, reason: str, expected: str
) -> None:
    report = check_table(every_type, table({}, {column: value}, {}), with_target=True)
    assert report.accepted_rows.tolist() == [0, 2]
    (refused,) = report.refused
    assert refused.line == 2
    (problem,) = refused.problems
    assert (problem["column"], problem["reason"], problem["value"]) == (column, reason, value)
    assert expected in problem["expected"]
    assert report.reasons == {f"{column}: {reason}": 1}


@pytest.mark.parametrize(
    ("column", "value", "read"),
    [
        ("count", "3.0", 3),
        ("count", "007", 7),
        ("amount", "", None),
        ("amount", "?", None),
        ("amount", "1e-3", 0.001),
        ("member", "NO", False),
        ("note", "", None),
    ],
)
def test_other_ways_to_write_a_value(every_type: Contract, column: str, value: str, read: Any) -> None:
    report = check_table(every_type, table({column: value}), with_target=True)
    assert report.refused == []
    assert report.accepted[column].to_list() == [read]


def test_a_broken_rule_names_its_columns_and_spares_nulls(every_type: Contract) -> None:
    rows = table({"count": "9", "amount": "-1"}, {"count": "9", "amount": ""}, {"count": "9", "amount": "1"})
    report = check_table(every_type, rows, with_target=True)
    assert report.accepted_rows.tolist() == [1, 2]
    (problem,) = report.refused[0].problems
    assert problem == {
        "column": "count <= 8 or amount > 0",
        "reason": "rule",
        "value": {"count": "9", "amount": "-1"},
        "expected": "count <= 8 or amount > 0",
    }


def test_all_problems_of_a_row_are_told_at_once(every_type: Contract) -> None:
    report = check_table(every_type, table({"count": "x", "grade": "Z", "member": "?"}), with_target=True)
    assert [p["column"] for p in report.refused[0].problems] == ["count", "grade", "member"]


def test_namibia_is_a_country(contract: Contract, students: pl.DataFrame) -> None:
    rows = students.head(1).with_columns(student_country=pl.lit("NA")).cast(pl.String)
    assert check_table(contract, rows, with_target=True).accepted["student_country"].to_list() == ["NA"]


def test_typed_tables_are_read_by_their_types(every_type: Contract) -> None:
    frame = pl.DataFrame(
        {
            "count": [1.0, 2.5, float("nan")],
            "amount": [1, 2, None],
            "grade": pl.Series(["A", "B", "A"], dtype=pl.Categorical),
            "member": [True, False, None],
            "note": [None, None, None],
            "since": pl.Series(["2021-01-01"] * 3).str.to_date(),
            "left": ["yes", "no", "no"],
        }
    )
    report = check_table(every_type, frame, with_target=True)
    assert report.accepted_rows.tolist() == [0]
    assert report.reasons == {"count: type": 1, "count: null": 1, "member: null": 1}


@pytest.mark.parametrize(
    ("rename", "said"),
    [
        ({"count": "Count"}, ["column count: missing", "is it the unknown column 'Count', renamed?"]),
        ({"note": "extra"}, ["column note: missing", "column 'extra': not in the contract"]),
    ],
)
def test_a_wrong_header_is_one_error(every_type: Contract, rename: dict[str, str], said: list[str]) -> None:
    columns = [rename.get(name, name) for name in GOOD]
    with pytest.raises(DataError) as error:
        require_columns(every_type, columns, with_target=True, where="march.csv")
    assert "march.csv" in str(error.value)
    for text in said:
        assert text in str(error.value)


def test_duplicated_and_mistyped_columns_are_told_together(every_type: Contract) -> None:
    dtypes = [pl.Boolean(), *[pl.String()] * 6, pl.String()]
    with pytest.raises(DataError, match=r"(?s)column grade: stands there 2 times.*count: got type Boolean"):
        require_columns(every_type, [*GOOD, "grade"], with_target=True, dtypes=dtypes)


def test_a_third_target_value_is_one_error(every_type: Contract) -> None:
    with pytest.raises(DataError, match=r"'maybe' \(2 times\).*line 7.*expected 'yes'"):
        check_table(
            every_type,
            table({}, {"left": "maybe"}, {"left": "maybe"}),
            with_target=True,
            lines=np.array([5, 7, 9]),
        )


def test_without_target_the_target_is_left_out(every_type: Contract) -> None:
    report = check_table(every_type, table({"left": "maybe"}), with_target=False)
    assert "left" not in report.accepted.columns


def test_a_target_says_which_texts_mean_that_nothing_is_known() -> None:
    target = EVERY_TYPE["target"] | {"null_values": ["NA"]}
    contract = Contract.from_dict(EVERY_TYPE | {"target": target})
    report = check_table(contract, table({}, {"left": "NA"}, {"left": " "}), with_target=True)
    assert [row.problems[0]["reason"] for row in report.refused] == ["null", "null"]
    with pytest.raises(DataError, match=r"'NA' \(1 times\).*data\.target\.null_values"):
        check_table(Contract.from_dict(EVERY_TYPE), table({"left": "NA"}), with_target=True)


def test_a_target_without_null_values_is_described_as_it_always_was(every_type: Contract) -> None:
    # the hash of a contract that was written down before must not change
    assert every_type.to_dict()["target"] == EVERY_TYPE["target"]
    named = Contract.from_dict(EVERY_TYPE | {"target": EVERY_TYPE["target"] | {"null_values": ["NA"]}})
    assert Contract.from_dict(named.to_dict()) == named


def test_a_class_cannot_mean_that_nothing_is_known() -> None:
    with pytest.raises(ContractError, match="null_values names 'no', which is one of the two classes"):
        Contract.from_dict(EVERY_TYPE | {"target": EVERY_TYPE["target"] | {"null_values": ["no"]}})


def test_refused_rows_beyond_a_limit_are_counted_and_not_described(every_type: Contract) -> None:
    rows = table(*({"count": "11"} if place % 2 else {} for place in range(10)))
    report = check_table(every_type, rows, with_target=True, most_described_rows=2)
    assert [row.line for row in report.refused] == [2, 4]
    assert (report.accepted.height, report.refused_rows, report.reasons) == (5, 5, {"count: range": 5})
