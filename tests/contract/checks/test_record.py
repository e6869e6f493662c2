from __future__ import annotations

import json
import pickle
import subprocess
import sys
from typing import Any

import pytest

from tabloop.contract.checks.record import RecordChecker, shown
from tabloop.contract.checks.strict_json import read_json
from tabloop.contract.contract import Contract
from tabloop.contract.sampling.example import example_record
from tabloop.errors import MalformedBodyError, RecordError, RecordProblem

EVERY_TYPE = {
    "columns": {
        "count": {"type": "integer", "minimum": 0, "maximum": 10},
        "amount": {"type": "number", "minimum": -1.5, "nullable": True},
        "grade": {"type": "category", "categories": ["A", "B"]},
        "country": {"type": "category", "pattern": "[A-Z]{2}", "open": True, "null_values": ["??"]},
        "member": {"type": "boolean"},
        "note": {"type": "text", "max_length": 5, "nullable": True, "null_values": ["none"]},
        "since": {"type": "timestamp", "minimum": "2020-01-01T00:00:00Z", "maximum": "2030-01-01T00:00:00Z"},
    },
    "rules": ["count <= 8 or amount > 0", "isnull(note) or member"],
    "target": {"name": "left"},
}
GOOD = {
    "count": 3,
    "amount": 0.5,
    "grade": "A",
    "country": "NA",
    "member": True,
    "note": "fine",
    "since": "2021-05-01T12:00:00Z",
}


@pytest.fixture(scope="module")
def checker() -> RecordChecker:
    return RecordChecker(Contract.from_dict(EVERY_TYPE))


def values_of(checker: RecordChecker, **changes: Any) -> dict[str, Any]:
    report = checker.check(GOOD | changes)
    assert report.problems == []
    return dict(zip(GOOD, report.values or (), strict=True))


def test_a_good_record_comes_back_in_the_contracts_order(checker: RecordChecker) -> None:
    report = checker.check(dict(reversed(GOOD.items())))
    assert report.values == tuple(GOOD.values())
    assert report.problems == []


@pytest.mark.parametrize(
    ("column", "value", "kept"),
    [
        ("count", 3.0, 3),
        ("count", -0.0, 0),
        ("amount", 7, 7.0),
        ("amount", None, None),
        ("note", "", None),
        ("note", "none", None),
        ("note", "🎓🎓🎓🎓🎓", "🎓🎓🎓🎓🎓"),
        ("since", "2021-05-01", "2021-05-01T00:00:00Z"),
        ("since", "2021-05-01T12:00:00.5+02:00", "2021-05-01T10:00:00.500000Z"),
    ],
)
def test_other_ways_to_write_a_value(checker: RecordChecker, column: str, value: Any, kept: Any) -> None:
    found = values_of(checker, **{column: value})[column]
    assert (found, type(found)) == (kept, type(kept))


def test_a_nullable_field_may_be_left_out(checker: RecordChecker) -> None:
    report = checker.check({name: value for name, value in GOOD.items() if name not in ("amount", "note")})
    assert report.values == (3, None, "A", "NA", True, None, "2021-05-01T12:00:00Z")


@pytest.mark.parametrize(
    ("column", "value", "code", "got", "expected"),
    [
        ("count", 3.5, "type", 3.5, "a whole number"),
        ("count", True, "type", True, "a whole number"),
        ("count", "3", "type", "3", "a whole number"),
        ("count", 2**53 + 1, "type", 2**53 + 1, "2**53"),
        ("count", 10**30, "type", "an integer of 100 bits", "2**53"),
        ("count", float("inf"), "type", "Infinity", "a whole number"),
        ("count", -1, "range", -1, "at least 0"),
        ("count", 11, "range", 11, "at most 10"),
        ("count", None, "null", None, "not nullable"),
        ("amount", float("nan"), "type", "NaN", "a finite number"),
        ("amount", False, "type", False, "a finite number"),
        ("amount", 10**400, "type", "an integer of 1329 bits", "a finite number"),
        ("amount", -2, "range", -2, "at least -1.5"),
        ("amount", [1], "type", "an array of 1", "a finite number"),
        ("grade", "C", "category", "C", "one of A, B"),
        ("grade", 1, "type", 1, "a text"),
        ("grade", "", "null", "", "not nullable"),
        ("country", "??", "null", "??", "not nullable"),
        ("country", "us", "pattern", "us", "[A-Z]{2}"),
        ("member", 1, "type", 1, "true or false"),
        ("member", "true", "type", "true", "true or false"),
        ("note", "too long", "length", "too long", "at most 5 characters"),
        ("note", "a\0", "text", "a\0", "without NUL"),
        ("note", "\ud800", "text", "\\ud800", "without lone surrogates"),
        ("note", {"a": 1}, "type", "an object of 1", "a text"),
        ("since", "2019-12-31", "range", "2019-12-31", "at least 2020-01-01"),
        (
            "since",
            "2030-01-01T00:00:00.000001Z",
            "range",
            "2030-01-01T00:00:00.000001Z",
            "at most 2030-01-01",
        ),
        ("since", 1620000000, "type", 1620000000, "ISO 8601"),
        ("since", "yesterday", "type", "yesterday", "ISO 8601"),
        ("since", "2021-05-01\ud80012:00", "type", "2021-05-01\\ud80012:00", "ISO 8601"),
    ],
)
def test_one_bad_value_is_one_problem(
    checker: RecordChecker, column: str, value: Any, code: str, got: Any, expected: str
) -> None:
    report = checker.check(GOOD | {column: value})
    assert report.values is None
    (problem,) = report.problems
    assert (problem.row, problem.field, problem.code, problem.got) == (None, column, code, got)
    assert expected in problem.expected
    json.dumps(problem.got, ensure_ascii=False, allow_nan=False).encode()


def test_all_problems_are_told_at_once(checker: RecordChecker) -> None:
    value = read_json(b'{"cuont": 1, "amount": 1e400, "grade": "C", "grade": "D", "member": null, "x": []}')
    found = [(p.field, p.code, p.got) for p in checker.check(value, row=7).problems]
    assert found == [
        ("count", "missing", None),
        ("amount", "type", "1e400"),
        ("grade", "category", "D"),
        ("country", "missing", None),
        ("member", "null", None),
        ("since", "missing", None),
        ("grade", "duplicate", "D"),
        ("cuont", "unknown", 1),
        ("x", "unknown", "an array of 0"),
    ]
    told = {p.field: p for p in checker.check(value, row=7).problems}
    assert told["cuont"].expected == "a column of the contract, did you mean count?"
    assert "did you mean" not in told["x"].expected
    assert {p.row for p in told.values()} == {7}


def test_a_rule_is_judged_where_its_columns_are_in_order(checker: RecordChecker) -> None:
    (problem,) = checker.check(GOOD | {"count": 9, "amount": -1}).problems
    assert problem == RecordProblem(
        None, "count <= 8 or amount > 0", "rule", {"count": 9, "amount": -1.0}, "count <= 8 or amount > 0"
    )
    assert values_of(checker, count=9, amount=None)["amount"] is None  # as CHECK in SQL
    assert [p.field for p in checker.check(GOOD | {"count": 11, "amount": -1}).problems] == ["count"]
    # isnull needs no value, so the rule is judged where the note is null
    assert [p.code for p in checker.check(GOOD | {"member": False}).problems] == ["rule"]
    assert values_of(checker, member=False, note="")["note"] is None


@pytest.mark.parametrize("value", [None, [], "text", 1, True])
def test_what_is_no_object_is_no_record(checker: RecordChecker, value: Any) -> None:
    (problem,) = checker.check(value).problems
    assert (problem.field, problem.code, problem.expected) == ("", "type", "an object of columns")
    assert str(problem).startswith("the record: got")


def test_many_unknown_fields_get_few_suggestions(checker: RecordChecker) -> None:
    value = GOOD | {f"countt{number}": 1 for number in range(1000)} | {"c" * 100_000: 1}
    report = checker.check(value, most_problems=2000)
    assert (len(report.problems), report.n_problems) == (1001, 1001)
    assert sum("did you mean" in problem.expected for problem in report.problems) == 5
    assert max(len(problem.field) for problem in report.problems) == 60
    cut = checker.check(value)
    assert (cut.values, cut.problems, cut.n_problems) == (None, report.problems[:100], 1001)
    none = checker.check(value, most_problems=0)
    assert (none.values, none.problems, none.n_problems) == (None, [], 1001)


def test_shown_values_are_short_and_json() -> None:
    for value in ("x" * 1000, "\ud800" * 1000, 10**500, [0] * 99, float("-inf"), object(), b"bytes"):
        assert len(json.dumps(shown(value), ensure_ascii=False, allow_nan=False).encode()) < 500


def test_no_polars_in_the_process() -> None:
    code = (
        "import sys, tabloop.contract.checks.record, tabloop.contract.sampling.example;"
        "print([m for m in ('polars', 'numpy', 'sklearn', 'joblib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def copied(error: Exception) -> Any:
    return pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes


def test_the_errors_can_be_sent_between_processes() -> None:
    problems = [RecordProblem(n, "count", "range", -1, "at least 0") for n in range(12)]
    error = copied(RecordError(problems, 400))
    assert (error.problems, error.n_problems) == (problems, 400)
    assert "400 problems\n  record 0 count: got -1, expected at least 0\n" in str(error)
    assert str(error).endswith("and 390 more")
    assert str(copied(MalformedBodyError("not JSON", 3))) == "not JSON (byte 3)"


@pytest.mark.parametrize(
    ("body", "said", "position"),
    [
        (b"", "empty", None),
        (b" \n", "empty", None),
        (b'{"a": 1', "not JSON", 7),
        ('{"é": 1,}'.encode(), "not JSON", 9),
        (b'{"a": \xff}', "not UTF-8", 6),
        (b'\xef\xbb\xbf{"a": 1}', "not JSON: unexpected UTF-8 BOM", 0),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8", 0),
        (b'{"a": 1} {', "extra data", 9),
        (b"[" * 100_000, "nested too deeply", None),
        (b'{"a":' * 100_000, "nested too deeply", None),
    ],
)
def test_a_malformed_body_is_told_with_its_place(body: bytes, said: str, position: int | None) -> None:
    with pytest.raises(MalformedBodyError, match=said) as error:
        read_json(body)
    assert error.value.position == position


def test_numbers_that_are_none_keep_how_they_were_written() -> None:
    long = b"1" * 10_000
    value = read_json(b'{"a": [1e400, -1E999, NaN, -Infinity, %s]}' % long)
    assert [shown(each) for each in value["a"][:4]] == ["1e400", "-1E999", "NaN", "-Infinity"]
    assert shown(value["a"][4]) == "1" * 57 + "..."


def test_the_students_example_is_a_valid_record(contract: Contract) -> None:
    made = example_record(contract)
    assert made is not None
    assert RecordChecker(contract).check(made).values == tuple(made.values())
    assert example_record(contract) == made != example_record(contract, seed=1)


def test_no_example_where_the_rules_leave_no_round_number() -> None:
    description = {"columns": {"n": {"type": "integer"}}, "rules": ["n == 123456"], "target": {"name": "t"}}
    assert example_record(Contract.from_dict(description)) is None
