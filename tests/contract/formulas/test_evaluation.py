"""What formulas compute, operation by operation, and that docs/formulas.md says the same."""

import doctest
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tabloop.contract.formulas.evaluation import (
    Row,
    evaluate_feature,
    evaluate_row,
    evaluate_table,
)
from tabloop.contract.formulas.parser import ColumnKind, Formula, parse_formula

INF, NAN = math.inf, math.nan
DOCS = Path(__file__).parents[3] / "docs" / "formulas.md"
COLUMNS: dict[str, ColumnKind] = {
    "minutes_watched": "number",
    "days_on_platform": "number",
    "courses_started": "number",
    "practice_exams_started": "number",
    "practice_exams_passed": "number",
    "a": "number",
    "b": "number",
    "premium": "condition",
    "country": "text",
}


def number(text: str) -> Formula:
    return parse_formula(text, COLUMNS, expected="number")


def condition(text: str) -> Formula:
    return parse_formula(text, COLUMNS, expected="condition")


def same(got: object, expected: float) -> bool:
    """Equal to the bit, sign of zero included; any NaN equals any other."""
    assert isinstance(got, float)
    return (
        math.isnan(got)
        if math.isnan(expected)
        else (got, math.copysign(1, got))
        == (
            expected,
            math.copysign(1, expected),
        )
    )


def test_parsing_and_one_row_need_no_numpy() -> None:
    program = (
        "import sys\n"
        "from tabloop.contract.formulas.parser import parse_formula\n"
        "from tabloop.contract.formulas.evaluation import evaluate_row\n"
        "evaluate_row(parse_formula('log1p(a)', {'a': 'number'}, expected='number'), {'a': 1.0})\n"
        "sys.exit('numpy' in sys.modules or 'polars' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_default_features() -> None:
    rows = {
        "minutes_watched": np.array([180.0, 0.0, NAN]),
        "days_on_platform": np.array([100.0, 0.0, 10.0]),
        "courses_started": np.array([3.0, 0.0, 1.0]),
        "practice_exams_started": np.array([2.0, 0.0, 4.0]),
        "practice_exams_passed": np.array([1.0, 0.0, 4.0]),
    }
    engagement = number("0.6 * minutes_watched + 0.3 * days_on_platform + 10 * courses_started")
    success = number(
        "where(practice_exams_started > 0, practice_exams_passed / (practice_exams_started + 1e-6), 0)"
    )
    consistency = number("minutes_watched / max(days_on_platform, 1)")
    rule = condition("practice_exams_passed <= practice_exams_started")
    np.testing.assert_array_equal(evaluate_feature(engagement, rows), [0.6 * 180 + 0.3 * 100 + 30, 0, NAN])
    np.testing.assert_array_equal(evaluate_feature(success, rows), [1 / (2 + 1e-6), 0, 4 / (4 + 1e-6)])
    np.testing.assert_array_equal(evaluate_feature(consistency, rows), [1.8, 0, NAN])
    np.testing.assert_array_equal(evaluate_table(rule, rows), [True, True, True])


NUMBERS = [
    ("1 / 0", INF),
    ("-1 / 0", -INF),
    ("1 / -0", -INF),
    ("0 / 0", NAN),
    ("1e308 * 10", INF),
    ("1e308 + 1e308 - 1e308", INF),
    ("1 / 0 - 1 / 0", NAN),
    ("5e-324 / 2", 0.0),
    ("0 * -1", -0.0),
    ("0.1 + 0.2", 0.1 + 0.2),
    ("9007199254740992 + 1", 2.0**53),
    ("min(2, 1)", 1.0),
    ("min(3, 1, 2)", 1.0),
    ("max(3, 1, 2)", 3.0),
    ("min(1, 0 / 0)", NAN),
    ("min(0 / 0, 1)", NAN),
    ("min(2, 0 / 0, 1)", NAN),
    ("max(1, 0 / 0)", NAN),
    ("max(0 / 0, 1)", NAN),
    ("min(0, -0)", -0.0),
    ("min(-0, 0)", 0.0),
    ("max(0, -0)", -0.0),
    ("max(-0, 0)", 0.0),
    ("abs(-0)", 0.0),
    ("abs(-1 / 0)", INF),
    ("sqrt(2)", math.sqrt(2)),
    ("sqrt(-1)", NAN),
    ("sqrt(-0)", -0.0),
    ("sqrt(1 / 0)", INF),
    ("log1p(0)", 0.0),
    ("log1p(-0)", -0.0),
    ("log1p(1e-20)", 1e-20),
    ("log1p(-1)", -INF),
    ("log1p(-2)", NAN),
    ("log1p(-1 / 0)", NAN),
    ("log1p(1 / 0)", INF),
    ("log1p(0 / 0)", NAN),
    ("log1p(1e308)", math.log(1e308)),
    ("clip(5, 0, 3)", 3.0),
    ("clip(-5, 0, 3)", 0.0),
    ("clip(2, 0, 3)", 2.0),
    ("clip(2, 3, 1)", 1.0),
    ("clip(0 / 0, 0, 1)", NAN),
    ("clip(2, 0 / 0, 3)", NAN),
    ("clip(2, 0, 0 / 0)", NAN),
    ("where(1 < 2, 3, 0 / 0)", 3.0),
    ("where(0 / 0 < 2, 3, 4)", 4.0),
]
CONDITIONS = [
    ("0 / 0 == 0 / 0", False),
    ("0 / 0 != 0 / 0", True),
    ("0 / 0 < 1", False),
    ("0 / 0 >= 1", False),
    ("not 0 / 0 < 1", True),
    ("0 == -0", True),
    ("0 < -0", False),
    ("1 / 0 == 2 / 0", True),
    ("1 < 2 and 2 < 1", False),
    ("1 < 2 or 2 < 1", True),
]


@pytest.mark.parametrize(("text", "expected"), NUMBERS)
def test_number_semantics(text: str, expected: float) -> None:
    formula = number(text)
    assert same(evaluate_row(formula, {}), expected)
    table = evaluate_table(formula, {}, n_rows=3)
    assert table.shape == (3,)
    assert table.dtype == np.float64
    assert all(same(float(value), expected) for value in table)
    assert same(evaluate_feature(formula, {}, n_rows=1)[0], expected if math.isfinite(expected) else NAN)


@pytest.mark.parametrize(("text", "expected"), CONDITIONS)
def test_condition_semantics(text: str, expected: bool) -> None:
    formula = condition(text)
    assert evaluate_row(formula, {}) is expected
    table = evaluate_table(formula, {}, n_rows=2)
    assert table.dtype == np.bool_
    assert table.tolist() == [expected] * 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("premium", [True, False, False]),
        ("not premium", [False, True, True]),
        ("isnull(premium)", [False, False, True]),
        ("premium or isnull(premium)", [True, False, True]),
        ("isnull(country)", [False, True, False]),
        ("isnull(a)", [False, False, True]),
        ("not isnull(a) and a > 1", [False, True, False]),
    ],
)
def test_nulls(text: str, expected: list[bool]) -> None:
    formula = condition(text)
    rows: list[Row] = [
        {"premium": True, "country": "DE", "a": 1},
        {"premium": False, "country": None, "a": 2},
        {"premium": None, "country": "", "a": None},
    ]
    columns = {
        "premium": np.array([1.0, 0.0, NAN]),
        "country": np.array([False, True, False]),
        "a": np.array([1.0, 2.0, NAN]),
    }
    assert [evaluate_row(formula, row) for row in rows] == expected
    assert evaluate_table(formula, columns).tolist() == expected


def test_plain_booleans_and_integers_are_taken() -> None:
    columns = {"premium": np.array([True, False]), "a": np.array([1, 2])}
    assert evaluate_table(condition("premium and a < 2"), columns).tolist() == [True, False]
    assert evaluate_table(condition("isnull(premium)"), columns).tolist() == [False, False]


def test_an_infinite_feature_is_null_but_only_at_the_end() -> None:
    formula = number("1 / (1 / a)")
    assert evaluate_feature(formula, {"a": np.array([0.0, 2.0])}).tolist() == [0.0, 2.0]
    infinite = evaluate_feature(number("a / 0"), {"a": np.array([1.0, -1.0, 0.0])})
    assert np.isnan(infinite).all()


def test_result_is_never_the_input() -> None:
    values = np.array([1.0, INF])
    evaluate_feature(number("a"), {"a": values})[0] = 7
    assert values.tolist() == [1.0, INF]


def test_empty_table() -> None:
    assert evaluate_table(number("a + 1"), {"a": np.array([])}).shape == (0,)
    assert evaluate_table(number("1"), {}, n_rows=0).shape == (0,)


def test_wrong_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match=r"column b: got shape \(3,\), expected \(2,\)"):
        evaluate_table(number("a + b"), {"a": np.zeros(2), "b": np.zeros(3)})
    with pytest.raises(ValueError, match=r"column a: got shape \(2,\), expected \(3,\)"):
        evaluate_table(number("a"), {"a": np.zeros(2)}, n_rows=3)
    with pytest.raises(ValueError, match=r"column a: got shape \(\)"):
        evaluate_table(number("a"), {"a": np.array(1.0)})
    with pytest.raises(ValueError, match="formula 1: it uses no column, so pass n_rows"):
        evaluate_table(number("1"), {})
    with pytest.raises(TypeError, match="text column country: got <U2, expected booleans"):
        evaluate_table(condition("isnull(country)"), {"country": np.array(["DE"])})
    with pytest.raises(KeyError):
        evaluate_row(number("a"), {})


# The documentation


def test_docs_examples_run() -> None:
    results = doctest.testfile(
        str(DOCS), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    assert results.attempted > 0
    assert results.failed == 0


def test_docs_tables_tell_the_truth() -> None:
    stated = re.findall(
        r"^\| `([^`]+)` \| `([^`]+)` \|", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert len(stated) > 20
    for text, result in stated:
        if result in ("true", "false"):
            assert evaluate_row(condition(text), {}) is (result == "true"), text
        else:
            assert same(evaluate_row(number(text), {}), float(result)), text
