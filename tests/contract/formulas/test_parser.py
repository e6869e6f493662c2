"""The formula language: what parses to which tree, and what is refused where."""

import copy
import io
import pickle

import joblib
import numpy as np
import pytest

from tabloop.contract.formulas.evaluation import evaluate_row, evaluate_table
from tabloop.contract.formulas.parser import MAX_LEVELS, ColumnKind, Formula, FormulaKind, parse_formula
from tabloop.contract.formulas.tokens import MAX_LENGTH
from tabloop.contract.formulas.tree import (
    Binary,
    Call,
    Column,
    Comparison,
    IsNull,
    Logical,
    Negative,
    Not,
    Number,
    Where,
    format_node,
)
from tabloop.errors import FormulaError

COLUMNS: dict[str, ColumnKind] = {
    "minutes_watched": "number",
    "days_on_platform": "number",
    "courses_started": "number",
    "practice_exams_started": "number",
    "practice_exams_passed": "number",
    "a": "number",
    "b": "number",
    "c": "number",
    "premium": "condition",
    "country": "text",
    "Größe (cm)": "number",
    "Länge": "number",
    "and": "number",
    "min": "number",
    "tick`ed": "number",
}
FORBIDDEN = {"purchased": "it is the target"}
A, B, C = (Column(name, "number") for name in "abc")


def number(text: str) -> Formula:
    return parse_formula(text, COLUMNS, expected="number", forbidden=FORBIDDEN)


def condition(text: str) -> Formula:
    return parse_formula(text, COLUMNS, expected="condition", forbidden=FORBIDDEN)


def refused(text: str, expected: FormulaKind = "number") -> FormulaError:
    with pytest.raises(FormulaError) as caught:
        parse_formula(text, COLUMNS, expected=expected, forbidden=FORBIDDEN)
    assert caught.value.formula == text
    return caught.value


# The tree


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("1.5e-3", Number(0.0015)),
        (".5", Number(0.5)),
        ("2.", Number(2.0)),
        ("9007199254740993", Number(2.0**53)),
        ("a + b * c", Binary("+", A, Binary("*", B, C))),
        ("(a + b) * c", Binary("*", Binary("+", A, B), C)),
        ("a - b - c", Binary("-", Binary("-", A, B), C)),
        ("a / b / c", Binary("/", Binary("/", A, B), C)),
        ("-a * b", Binary("*", Negative(A), B)),
        ("a - -b", Binary("-", A, Negative(B))),
        ("--a", Negative(Negative(A))),
        ("+a", A),
        ("+ + - +a", Negative(A)),
        ("min(a, b, c)", Call("min", (A, B, C))),
        ("where(premium, a, b)", Where(Column("premium", "condition"), A, B)),
        ("`Größe (cm)` + Länge", Binary("+", Column("Größe (cm)", "number"), Column("Länge", "number"))),
        ("`and` + `min`", Binary("+", Column("and", "number"), Column("min", "number"))),
        ("`tick``ed`", Column("tick`ed", "number")),
        ("\ta\r\n + b", Binary("+", A, B)),
    ],
)
def test_number_tree(text: str, tree: object) -> None:
    assert number(text).root == tree


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a + 1 <= b", Comparison("<=", Binary("+", A, Number(1.0)), B)),
        ("not a < b", Not(Comparison("<", A, B))),
        (
            "premium or a < b and not isnull(country)",
            Logical(
                "or",
                Column("premium", "condition"),
                Logical("and", Comparison("<", A, B), Not(IsNull(Column("country", "text")))),
            ),
        ),
        ("(premium)", Column("premium", "condition")),
        ("not not premium", Not(Not(Column("premium", "condition")))),
    ],
)
def test_condition_tree(text: str, tree: object) -> None:
    assert condition(text).root == tree


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">=", "==", "!="])
def test_every_comparison_with_and_without_spaces(sign: str) -> None:
    assert condition(f"a{sign}b").root == condition(f"a {sign} b").root == Comparison(sign, A, B)  # type: ignore[arg-type]


def test_nodes_know_their_position_and_equality_ignores_it() -> None:
    root = number("a +  min(b, 2)").root
    assert isinstance(root, Binary)
    assert isinstance(root.right, Call)
    assert (root.position, root.left.position, root.right.position) == (2, 0, 5)
    assert [argument.position for argument in root.right.arguments] == [9, 12]
    assert root == number("  a + min(b, 2)").root


def test_columns_in_order_of_first_use() -> None:
    formula = condition("isnull(country) or b > a and a > 0 or isnull(b)")
    assert formula.columns == ("country", "b", "a")
    assert formula.column_kinds == ("text", "number", "number")
    assert formula.required_columns == ("b", "a")
    assert number("1").columns == ()


def test_text_is_kept_as_written() -> None:
    assert str(number(" a+ b ")) == " a+ b "


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("((a)+(b*c))", "a + b * c"),
        ("a-(b-c)", "a - (b - c)"),
        ("a*(b/c)", "a * (b / c)"),
        ("-(a+b)", "-(a + b)"),
        ("1000000 + 1e16 + 1e-6 + 0.10", "1000000 + 1e+16 + 1e-06 + 0.1"),
        ("`a` + `and` + `tick``ed` + `Länge`", "a + `and` + `tick``ed` + Länge"),
        ("where((not (premium)) and ((a)<(b)), 1., +2)", "where(not premium and a < b, 1, 2)"),
        ("where(not (premium and isnull(country)), 1, 2)", "where(not (premium and isnull(country)), 1, 2)"),
        ("clip(a,-1,max(b,c))", "clip(a, -1, max(b, c))"),
    ],
)
def test_format_is_canonical(text: str, canonical: str) -> None:
    root = number(text).root
    assert format_node(root) == canonical
    assert number(canonical).root == root


# Errors


@pytest.mark.parametrize(
    ("text", "expected", "position", "problem"),
    [
        # what is there is unknown
        ("a + minuts_watched", "number", 4, "unknown column minuts_watched, did you mean minutes_watched?"),
        ("a + `Größe cm`", "number", 4, "unknown column Größe cm, did you mean Größe (cm)?"),
        ("2 * Größe (cm)", "number", 4, "the column Größe (cm) has to stand in backquotes: `Größe (cm)`"),
        ("sqr(a)", "number", 0, "unknown function sqr, did you mean sqrt?"),
        ("exp(a)", "number", 0, "unknown function exp; known: where, min, max, abs"),
        ("a(2)", "number", 0, "unknown function a: it is a column, an operator is missing"),
        ("min + 1", "number", 0, "min is a function: write min(...), or `min` for a column"),
        ("a + purchased", "number", 4, "purchased cannot be used: it is the target"),
        ("isnull(purchased)", "condition", 7, "purchased cannot be used: it is the target"),
        ("isnull(contry)", "condition", 7, "unknown column contry, did you mean country?"),
        ("a == null", "condition", 5, "unknown column null: write isnull(column)"),
        (
            "premium == True",
            "condition",
            11,
            "unknown column True: a boolean column is a condition by itself",
        ),
        # characters
        ("a $ b", "number", 2, "unknown character '$'"),
        ("a\N{NO-BREAK SPACE}+ b", "number", 1, r"unknown character '\xa0'"),
        ("a = b", "condition", 2, "unknown character '=': write == to compare"),
        ("a ** 2", "number", 2, "unknown character '**': there is no power, write x * x"),
        ("a <> b", "condition", 2, "unknown character '<>': write !="),
        ("a ≤ b", "condition", 2, "unknown character '≤': write <="),
        ("country == 'DE'", "condition", 11, 'unknown character "\'": there is no text in formulas'),
        ("a + `b", "number", 4, "no column name in closed backquotes here"),
        ("``", "number", 0, "no column name in closed backquotes here"),
        # structure
        ("", "number", 0, "the formula is empty"),
        (" \n ", "condition", 0, "the formula is empty"),
        ("a b", "number", 2, "got b, expected an operator or the end"),
        ("2a", "number", 1, "got a, expected an operator or the end"),
        ("1.2.3", "number", 3, "got .3, expected an operator or the end"),
        ("a)", "number", 1, "got ), expected an operator or the end"),
        ("premium AND premium", "condition", 8, "got AND, expected an operator or the end: write and"),
        ("a +", "number", 3, "got the end, expected a number, a column or ("),
        ("a + * b", "number", 4, "got *, expected a number, a column or ("),
        ("()", "number", 1, "got ), expected a number, a column or ("),
        ("2 * (a + b", "number", 4, "this ( is never closed"),
        ("min(a, b", "number", 3, "this ( is never closed"),
        ("min(a b)", "number", 6, "got b, expected an operator, a comma or )"),
        ("(a, b)", "number", 2, "got ,, expected an operator or )"),
        ("min(a, )", "number", 7, "got ), expected a number, a column or ("),
        ("a < b < c", "condition", 6, "comparisons do not chain: instead of a < b < c write a < b and b < c"),
        ("1e999", "number", 0, "the number is too large"),
        # arguments
        ("1 + min(a)", "number", 4, "min: got 1 arguments, expected 2 or more"),
        ("max()", "number", 0, "max: got 0 arguments, expected 2 or more"),
        ("where(premium, a)", "number", 0, "where: got 2 arguments, expected 3"),
        ("clip(a, b, c, 1)", "number", 0, "clip: got 4 arguments, expected 3"),
        ("abs(a, b)", "number", 0, "abs: got 2 arguments, expected 1"),
        ("isnull()", "condition", 0, "isnull: got 0 arguments, expected 1"),
        ("isnull(a, b)", "condition", 0, "isnull: got 2 arguments, expected 1"),
        ("isnull(a + 1)", "condition", 7, "isnull takes the name of one column, not an expression"),
        ("isnull(1)", "condition", 7, "isnull takes the name of one column, not an expression"),
        # types
        ("a > b", "number", 2, "a feature needs a number, got the condition a > b: write where(a > b, 1, 0)"),
        (
            "premium",
            "number",
            0,
            "a feature needs a number, got the condition premium: write where(premium, 1, 0)",
        ),
        (
            "a + b",
            "condition",
            2,
            "a row rule needs a condition, got the number a + b: compare it, as in a + b > 0",
        ),
        ("where(a, b, c)", "number", 6, "the first argument of where needs a condition, got the number a"),
        ("where(premium, a, premium)", "number", 18, "the third argument of where needs a number"),
        ("a and premium", "condition", 0, "and needs a condition, got the number a: compare it, as in a > 0"),
        ("not a", "condition", 4, "not needs a condition, got the number a"),
        ("-premium", "number", 1, "the sign - needs a number, got the condition premium"),
        ("+premium", "number", 1, "the sign + needs a number, got the condition premium"),
        (
            "2 * premium",
            "number",
            4,
            "* needs a number, got the condition premium: write where(premium, 1, 0)",
        ),
        ("(a < b) < c", "condition", 3, "< needs a number, got the condition a < b"),
        ("a < not premium", "condition", 4, "< needs a number, got the condition not premium"),
        ("min(a, isnull(b))", "number", 7, "min needs a number, got the condition isnull(b)"),
        ("country + 1", "number", 0, "country holds text, which only isnull(country) can use in a formula"),
        ("country == country", "condition", 0, "country holds text, which only isnull(country) can use"),
        ("not (country)", "condition", 5, "country holds text"),
        ("country", "condition", 0, "country holds text"),
        # reached limits
        ("(" * 101 + "a" + ")" * 101, "number", 100, "more than 100 levels of parentheses"),
        ("-" * 100 + "a", "number", 0, "more than 100 operators, each on the result of the one before"),
        ("a" + " + a" * 100, "number", 398, "group them with parentheses, as in (a + b) + (c + d)"),
    ],
)
def test_error_has_position_and_advice(text: str, expected: FormulaKind, position: int, problem: str) -> None:
    error = refused(text, expected)
    assert problem in error.problem
    assert error.position == position


def test_long_condition_is_cut_in_the_message() -> None:
    error = refused(" and ".join(["premium"] * 20))
    assert len(error.problem) < 200
    assert "premium and premium and premium and p..." in error.problem


def test_too_long_text_is_not_repeated() -> None:
    with pytest.raises(FormulaError, match="got 10001 characters, expected at most 10000") as caught:
        number("a" * (MAX_LENGTH + 1))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("opening", ["(", "abs(", "-(", "1 - a * -(", "where(premium or a < 1 + 2 * ("])
def test_deep_nesting_is_an_error_of_the_formula(opening: str) -> None:
    deep = (opening * MAX_LENGTH)[: MAX_LENGTH - len(opening)]
    with pytest.raises(FormulaError):
        number(deep)


def test_without_columns_nothing_is_suggested() -> None:
    with pytest.raises(FormulaError, match=r"^unknown column a \(position 1\)"):
        parse_formula("a", {}, expected="number")


# Deep and wide formulas, copies


@pytest.mark.parametrize(
    "text",
    [
        "a" + " + a" * (MAX_LEVELS - 1),
        "-" * (MAX_LEVELS - 1) + "a",
        "(" * MAX_LEVELS + "a" + ")" * MAX_LEVELS,
        "abs(" * (MAX_LEVELS - 1) + "a" + ")" * (MAX_LEVELS - 1),
        "a - (" * (MAX_LEVELS - 1) + "a" + ")" * (MAX_LEVELS - 1),
        "min(" + ", ".join(["a"] * 3000) + ")",
    ],
)
def test_largest_formulas_are_walked_and_copied(text: str) -> None:
    formula = number(text)
    assert number(format_node(formula.root)).root == formula.root
    assert evaluate_row(formula, {"a": 1.0}) == evaluate_table(formula, {"a": np.ones(1)})[0]
    assert repr(formula)
    assert hash(formula) == hash(number(text))
    file = io.BytesIO()
    joblib.dump(formula, file)
    file.seek(0)
    assert joblib.load(file) == formula
    assert copy.deepcopy(formula) == formula


def test_pickle_keeps_everything() -> None:
    formula = condition("isnull(country) or premium and `Größe (cm)` > 1")
    again = pickle.loads(pickle.dumps(formula))  # noqa: S301
    assert again == formula
    assert (again.text, again.kind, again.columns, again.required_columns) == (
        formula.text,
        "condition",
        ("country", "premium", "Größe (cm)"),
        ("premium", "Größe (cm)"),
    )
