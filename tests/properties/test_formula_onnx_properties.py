"""Random formulas on the nastiest numbers: the ONNX graph computes what `evaluate_table` defines."""

import math
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto
from tests.properties.test_formula_properties import (
    ALL_NASTY,
    COLUMNS,
    as_table,
    assert_within_units,
    bits,
    condition_trees,
    kind_of,
    moments,
    number_trees,
    relaxed,
    rows,
)

from tabloop.contract.formulas.calendar import CALENDAR_FUNCTIONS
from tabloop.contract.formulas.evaluation import Row, evaluate_table
from tabloop.contract.formulas.parser import ColumnKind, parse_formula
from tabloop.contract.formulas.tree import ConditionNode, NumberNode, format_node
from tabloop.inference.predictor import Predictor
from tabloop.optimization.export.formulas import formula_to_onnx
from tabloop.optimization.export.graph import OnnxGraph
from tabloop.optimization.export.pipeline import save_model
from tabloop.optimization.export.preprocessing import GraphColumns

pytestmark = pytest.mark.examples

INPUTS = {
    "x": "double",
    "y": "double",
    "Größe (`cm`)": "double",
    "premium": "double",
    "and": "bool",
    "country": "string",
}
KINDS: dict[str, ColumnKind] = {"x": "number", "y": "number"}


def by_onnx(text: str, table: dict[str, NDArray[Any]], *, optimized: bool = True) -> NDArray[np.float64]:
    """Compute a formula with ONNX Runtime; a condition comes out as 0 and 1."""
    formula = parse_formula(text, COLUMNS, expected=kind_of_text(text))
    graph = OnnxGraph(INPUTS)
    result = formula_to_onnx(graph, formula, GraphColumns(graph))
    if formula.kind == "condition":
        result = graph.add("Cast", result, to=TensorProto.DOUBLE)
    model = save_model(graph.model(result, "result"))
    feed = table | {
        "and": table["and"].astype(bool),
        "country": np.where(table["country"], "", "DE").astype(object),
    }
    if optimized:
        return Predictor(model).predict(feed)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    answer: NDArray[np.float64] = session.run(None, {n: feed[n].reshape(-1, 1) for n in INPUTS})[0][:, 0]
    return answer


def kind_of_text(text: str) -> Any:
    from tabloop.errors import FormulaError

    try:
        parse_formula(text, COLUMNS, expected="number")
    except FormulaError:
        return "condition"
    return "number"


def table_of(table_rows: list[Row]) -> dict[str, NDArray[Any]]:
    """As the contract hands rows on: the empty text is null, `and` is not nullable."""
    table = as_table(table_rows)
    table["country"] = np.array([row["country"] in (None, "") for row in table_rows])
    table["and"] = (table["and"] == 1).astype(np.float64)
    return table


def row_of(**values: Any) -> Row:
    return dict.fromkeys(COLUMNS, None) | values


@given(number_trees | condition_trees, st.lists(rows, min_size=1, max_size=8))
@relaxed
@example(parse_formula("where(0 < 0, x, 5)", KINDS, expected="number").root, [row_of(), row_of()])
def test_the_graph_equals_the_table_bit_for_bit(
    tree: NumberNode | ConditionNode, table_rows: list[Row]
) -> None:
    formula = parse_formula(format_node(tree), COLUMNS, expected=kind_of(tree))
    table = table_of(table_rows)
    expected = evaluate_table(formula, table, n_rows=len(table_rows)).astype(np.float64)
    assert bits(by_onnx(formula.text, table)) == bits(expected)


@given(number_trees, st.lists(rows, min_size=1, max_size=8))
@relaxed
@example(
    parse_formula("x", KINDS, expected="number").root, [row_of(x=v) for v in (-1.0, -2.0, 1e-300, 5e-324)]
)
@example(parse_formula("x", KINDS, expected="number").root, [row_of(x=v) for v in ALL_NASTY])
def test_log1p_is_within_two_units(tree: NumberNode, table_rows: list[Row]) -> None:
    formula = parse_formula(f"log1p({format_node(tree)})", COLUMNS, expected="number")
    table = table_of(table_rows)
    expected = evaluate_table(formula, table, n_rows=len(table_rows))
    assert_within_units(by_onnx(formula.text, table), expected, 2)


# The optimizer drops terms and factors that it takes for 0 and 1
@pytest.mark.parametrize(
    "constant",
    [
        "0",
        "-0",
        "5e-324",
        "2e-308",
        "-1e-300",
        "1e-45",
        "1e-17",
        "1e-9",
        "1",
        "-1",
        "1.0000000000000002",
        "0.99999999",
        "1.00000003",
        "1.0000001",
        "(1-1e-16)",
        "where(1<2,1,0)",
    ],
)
@pytest.mark.parametrize(
    "text",
    [
        "-(-x + {})",
        "1 / ({} + -x)",
        "-(-x - {})",
        "-({} - -x)",
        "-(-x * {})",
        "-({} * -x)",
        "-(-x / {})",
        "-({} / -x)",
        "-({} / -x * -y)",
        "-(-y * ({} / -x))",
        "-({} + ({} + -x))",
        "1 / max({}, -x)",
    ],
)
def test_no_constant_is_too_small_or_too_near_one(text: str, constant: str) -> None:
    require_bits(text.format(constant, constant))


# Each of these a graph optimizer could simplify into something that is not equal
@pytest.mark.parametrize(
    "text",
    [
        "1 / (x + 0)",
        "1 / (0 + x)",
        "1 / (x - 0)",
        "1 / (x - -0)",
        "1 / (x + -0)",
        "1 / (0 - x)",
        "1 / (-0 + x)",
        "1 / (x + (1 - 1))",
        "1 / (x * 1)",
        "1 / --x",
        "1 / x * y",
        "y * (1 / x)",
        "x / y * y",
        "x * 0",
        "x - x",
        "x / x",
        "x + 0.1 + 0.2",
        "x * 3 * (1 / 3)",
        "(x + y) - y",
        "1 / max(x, -0)",
        "1 / min(-0, x)",
        "1 / max(x, 0) + 1 / max(x, -0)",
        "1 / clip(x, -0, 0)",
        "1 / where(y > 0, -x, 1)",
        "1 / where(y > 0, 1, -x)",
        "1 / where(y > 0, -x, -y)",
        "1 / where(y > 0, -x, -0)",
        "min(x, y, x)",
        "where(x == x, 1, 2)",
        "where(x != x, 1, 2)",
        "where(not x < y, x, y)",
        "where(not x <= y, 1, where(x >= y, 2, 3))",
        "where(isnull(x) or not isnull(y), 1 / 0, -1 / 0)",
        "where(1 < 2, x, 0 / 0)",
        "where(1 / -0 < 0, x, y)",
        "sqrt(x * x) - abs(x)",
        "sqrt(-x)",
        "x * (1 / (1 + 1 / x))",
        "1 / 0",
        "0 / 0",
        "-0",
        "x < y",
        "1 < 2",
        "isnull(country) and not `and`",
        "premium or not premium",
        "not premium",
    ],
)
def test_no_optimizer_changes_a_bit(text: str) -> None:
    require_bits(text)


def require_bits(text: str) -> None:
    grid = [row_of(x=x, y=y, premium=p) for x in ALL_NASTY for y in ALL_NASTY for p in (None, True)]
    table = table_of(grid)
    formula = parse_formula(text, COLUMNS, expected=kind_of_text(text))
    expected = bits(evaluate_table(formula, table, n_rows=len(grid)).astype(np.float64))
    assert bits(by_onnx(text, table)) == expected
    assert bits(by_onnx(text, table, optimized=False)) == expected


def test_whole_numbers_and_booleans_are_widened_exactly() -> None:
    graph = OnnxGraph({"n": "int64", "flag": "bool"})
    kinds: dict[str, ColumnKind] = {"n": "number", "flag": "condition"}
    text = "where(isnull(n) or isnull(flag), 0 / 0, where(flag, n, -n) / 3)"
    formula = parse_formula(text, kinds, expected="number")
    result = formula_to_onnx(graph, formula, GraphColumns(graph))
    n = np.array([2**53, -(2**53) + 1, 0, 7])
    flag = np.array([True, False, False, True])
    got = Predictor(save_model(graph.model(result, "result"))).predict({"n": n, "flag": flag})
    expected = evaluate_table(formula, {"n": n.astype(np.float64), "flag": flag})
    assert bits(got) == bits(expected)
    assert not math.isnan(got[0])


@given(st.lists(st.none() | moments, min_size=1, max_size=20), st.sampled_from(CALENDAR_FUNCTIONS))
@relaxed
@example([-0.5, -86_400.0, -86_400.000001, 1_709_164_800.0, 1_709_251_199.0, -2_203_891_200.0], "day")
def test_the_parts_of_moments_are_those_of_the_table(values: list[float | None], function: str) -> None:
    table = table_of([row_of(x=value) for value in values])
    formula = parse_formula(f"{function}(x)", COLUMNS, expected="number")
    expected = evaluate_table(formula, table, n_rows=len(values))
    for optimized in (True, False):
        assert bits(by_onnx(formula.text, table, optimized=optimized)) == bits(expected)
