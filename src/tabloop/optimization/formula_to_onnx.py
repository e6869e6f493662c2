"""Formulas as ONNX nodes that compute, bit for bit, what `tabloop.contract.formula_evaluation` defines.

Only operators for which ONNX Runtime has a double kernel that follows IEEE 754 are used. `Min`, `Max`
and `Clip` are avoided: which of two zeros they give is open. Four things that ONNX Runtime does are not
exact, and are not given the chance: it drops ``x + 0`` (0.0 for -0.0), merges constants that compare
equal (0.0 and -0.0), turns ``1 / x * y`` into ``y / x``, and its `Where` gives 0.0 for a chosen -0.0.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any, Protocol, assert_never, cast

import numpy as np

from tabloop.contract.formula import Formula
from tabloop.contract.formula_evaluation import evaluate_table
from tabloop.contract.formula_tree import (
    Binary,
    Call,
    Column,
    Comparison,
    ConditionNode,
    FormulaKind,
    IsNull,
    Logical,
    Negative,
    Node,
    Not,
    Number,
    NumberFunction,
    NumberNode,
    Where,
)
from tabloop.optimization.onnx_graph import OnnxGraph

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ARITHMETIC = {"+": "Add", "-": "Sub", "*": "Mul", "/": "Div"}
_COMPARE = {"<": "Less", "<=": "LessOrEqual", ">": "Greater", ">=": "GreaterOrEqual", "==": "Equal"}


class ColumnTensors(Protocol):
    """Where the columns of a formula are found in the graph."""

    def number(self, name: str) -> str:
        """Name the double tensor of a column, NaN where it is null."""

    def condition(self, name: str) -> str:
        """Name the boolean tensor of a boolean column, false where it is null."""

    def is_null(self, name: str) -> str:
        """Name the boolean tensor that tells where a column is null."""

    def row_shape(self) -> str:
        """Name the tensor that holds the shape (N, 1)."""


def formula_to_onnx(graph: OnnxGraph, formula: Formula, columns: ColumnTensors) -> str:
    """Add the nodes of one formula.

    Parameters
    ----------
    graph : OnnxGraph
        Where to add them.
    formula : Formula
        What to compute.
    columns : ColumnTensors
        Where its columns are.

    Returns
    -------
    name : str
        A tensor of shape (N, 1): double for a number, boolean for a condition. As with `evaluate_table`,
        infinite and NaN results are left as they are.
    """
    writer = _Writer(graph, columns)
    if formula.kind == "number":
        result = writer.number(cast("NumberNode", formula.root))
    else:
        result = writer.condition(cast("ConditionNode", formula.root))
    return result if formula.columns else graph.add("Expand", result, columns.row_shape())


class _Writer:
    def __init__(self, graph: OnnxGraph, columns: ColumnTensors) -> None:
        self.graph = graph
        self.columns = columns
        #: The tensors made for a number, and whether -0.0 can be among their values.
        self.has_negative_zero: dict[str, bool] = {}

    def number(self, node: NumberNode) -> str:
        if not _uses_column(node):
            return self.constant(_computed(node, "number"))
        result = self.number_of_columns(node)
        self.has_negative_zero[result] = self.may_be_negative_zero(node)
        return result

    def may_be_negative_zero(self, node: NumberNode) -> bool:
        """Tell whether -0.0 can come out; true where that would take thought."""
        match node:
            case Number(value):
                return _is_negative_zero(value)
            case Column(name):
                return self.columns.may_be_negative_zero(name)
            case Binary("+", left, right):
                return self.may_be_negative_zero(left) and self.may_be_negative_zero(right)
            case Binary("-", left, _) | Call("sqrt", (left,)):
                return self.may_be_negative_zero(left)
            case Call("abs", _):
                return False
            case Call("min" | "max" | "clip", arguments):
                return any(map(self.may_be_negative_zero, arguments))
            case _:
                return True

    def number_of_columns(self, node: NumberNode) -> str:
        match node:
            case Column(name):
                return self.columns.number(name)
            case Negative(operand):
                return self.graph.add("Neg", self.number(operand))
            case Binary(sign, left, right):
                return self.binary(sign, self.number(left), self.number(right))
            case Where(condition, if_true, if_false):
                return self.graph.add(
                    "Where", self.condition(condition), self.number(if_true), self.number(if_false)
                )
            case Call(function, arguments):
                return self.call(function, [self.number(argument) for argument in arguments])
            case Number():
                raise AssertionError("a literal uses no column")
            case _:
                assert_never(node)

    def constant(self, value: Any) -> str:
        return self.graph.constant(np.array([[value]]))

    def binary(self, sign: str, left: str, right: str) -> str:
        constant_left, constant_right = self.graph.value_of(left), self.graph.value_of(right)
        if sign == "+" and _is_zero(constant_left):
            return self.plus_zero(right, negative=_is_negative_zero(constant_left))
        if sign in "+-" and _is_zero(constant_right):
            return self.plus_zero(left, negative=_is_negative_zero(constant_right) != (sign == "-"))
        if sign == "/" and constant_left is not None and constant_left.item() == 1:
            return self.graph.add("Reciprocal", right)
        return self.graph.add(_ARITHMETIC[sign], left, right)

    def plus_zero(self, x: str, *, negative: bool) -> str:
        """Give x + -0.0, which is x, or x + 0.0, which differs for -0.0, in a form nothing simplifies."""
        if negative:
            return x
        return self.graph.add("Sub", self.constant(0.0), self.graph.add("Neg", x))

    def call(self, function: NumberFunction, arguments: list[str]) -> str:
        first = arguments[0]
        match function:
            case "min" | "max":
                return reduce(lambda a, b: self.extreme(function, a, b), arguments)
            case "clip":
                return self.extreme("min", self.extreme("max", first, arguments[1]), arguments[2])
            case "abs":
                return self.graph.add("Abs", first)
            case "sqrt":
                return self.graph.add("Sqrt", first)
            case "log1p":
                return self.log1p(first)
            case _:
                assert_never(function)

    def extreme(self, function: str, a: str, b: str) -> str:
        add = self.graph.add
        nearer = add("Less" if function == "min" else "Greater", a, b)
        return add("Where", add("Or", add("IsNaN", a), nearer), a, b)

    def log1p(self, x: str) -> str:
        add, one, infinity = self.graph.add, self.constant(1.0), self.constant(np.inf)
        u = add("Add", one, x)
        kahan = add("Mul", add("Log", u), add("Div", x, add("Sub", u, one)))
        return add("Where", add("Or", add("Equal", u, one), add("Equal", u, infinity)), x, kahan)

    def condition(self, node: ConditionNode) -> str:
        if not _uses_column(node):
            return self.constant(_computed(node, "condition"))
        match node:
            case Column(name):
                return self.columns.condition(name)
            case Comparison("!=", left, right):
                return self.graph.add("Not", self.graph.add("Equal", self.number(left), self.number(right)))
            case Comparison(sign, left, right):
                return self.graph.add(_COMPARE[sign], self.number(left), self.number(right))
            case Logical(sign, left, right):
                return self.graph.add(
                    "And" if sign == "and" else "Or", self.condition(left), self.condition(right)
                )
            case Not(operand):
                return self.graph.add("Not", self.condition(operand))
            case IsNull(column):
                return self.columns.is_null(column.name)
            case _:
                assert_never(node)


def _uses_column(node: Node) -> bool:
    match node:
        case Number():
            return False
        case Column() | IsNull():
            return True
        case Negative(operand) | Not(operand):
            return _uses_column(operand)
        case Binary(_, left, right) | Comparison(_, left, right) | Logical(_, left, right):
            return _uses_column(left) or _uses_column(right)
        case Where(condition, if_true, if_false):
            return any(map(_uses_column, (condition, if_true, if_false)))
        case Call(_, arguments):
            return any(map(_uses_column, arguments))
        case _:
            assert_never(node)


def _computed(node: Node, kind: FormulaKind) -> Any:
    """Compute a part without columns here, so that ONNX Runtime has nothing to fold."""
    return evaluate_table(Formula("", node, kind, (), (), ()), {}, n_rows=1)[0]


def _is_zero(constant: NDArray[Any] | None) -> bool:
    return constant is not None and bool(constant.item() == 0)


def _is_negative_zero(constant: NDArray[Any] | None) -> bool:
    return constant is not None and bool(np.signbit(constant.item()))
