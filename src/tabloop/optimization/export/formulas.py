"""Formulas as ONNX nodes that compute, bit for bit, what `tabloop.contract.formulas.evaluation` defines.

Only operators for which ONNX Runtime has a double kernel that follows IEEE 754 are used. `Min`, `Max` and
`Clip` are avoided: which of two zeros they give is open. What ONNX Runtime does that is not exact is not
given the chance: it drops ``x + c`` and ``x * c`` where c, rounded to float32, is 0 or 1 (a factor of
0.999999999 is lost); it merges constants that compare equal (0.0 and -0.0); it turns ``1 / x * y`` into
``y / x``; and its `Where` gives 0.0 for a chosen -0.0.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import Any, NamedTuple, Protocol, assert_never, cast

import numpy as np
from onnx import TensorProto

from tabloop.contract.formulas.calendar import SECONDS_A_DAY, calendar_part
from tabloop.contract.formulas.evaluation import evaluate_table
from tabloop.contract.formulas.parser import Formula
from tabloop.contract.formulas.tree import (
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
from tabloop.optimization.export.graph import OnnxGraph

_ARITHMETIC = {"+": "Add", "-": "Sub", "*": "Mul", "/": "Div"}
_COMPARE = {"<": "Less", "<=": "LessOrEqual", ">": "Greater", ">=": "GreaterOrEqual", "==": "Equal"}


class ColumnTensors(Protocol):
    """Where the columns of a formula are found in the graph."""

    def number(self, name: str) -> str:
        """Name the double tensor of a column, NaN where it is null."""

    def is_integer(self, name: str) -> bool:
        """Tell whether the column holds whole numbers, and so no -0.0."""

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
        The graph that the nodes are added to.
    formula : Formula
        The formula to compute.
    columns : ColumnTensors
        The tensors of the columns that it reads.

    Returns
    -------
    name : str
        A tensor of shape (N, 1): double for a number, boolean for a condition. As with `evaluate_table`,
        infinite and NaN results are left as they are.
    """
    writer = _Writer(graph, columns)
    if formula.kind == "number":
        result = writer.number(cast("NumberNode", formula.root)).tensor
    else:
        result = writer.condition(cast("ConditionNode", formula.root))
    # a choice by a fixed condition may leave a number that reads no row
    return result if graph.reads_input(result) else graph.add("Expand", result, columns.row_shape())


class _Number(NamedTuple):
    """A tensor, and whether -0.0 can be among its values (true where finding out would take thought)."""

    tensor: str
    negative_zero: bool = True


class _Writer:
    def __init__(self, graph: OnnxGraph, columns: ColumnTensors) -> None:
        self.graph = graph
        self.columns = columns

    def number(self, node: NumberNode) -> _Number:
        if not _uses_column(node):
            return self.constant(_computed(node, "number"))
        match node:
            case Column(name):
                return _Number(self.columns.number(name), not self.columns.is_integer(name))
            case Negative(operand):
                return _Number(self.graph.add("Neg", self.number(operand).tensor))
            case Binary(sign, left, right):
                return self.binary(sign, self.number(left), self.number(right))
            case Where(condition, if_true, if_false):
                return self.select(self.condition(condition), self.number(if_true), self.number(if_false))
            case Call(function, arguments):
                return self.call(function, [self.number(argument) for argument in arguments])
            case Number():
                raise AssertionError("a literal uses no column")
            case _:
                assert_never(node)

    def constant(self, value: Any) -> _Number:
        return _Number(self.graph.constant(np.array([[value]])), bool(value == 0 and np.signbit(value)))

    def binary(self, sign: str, left: _Number, right: _Number) -> _Number:
        add = self.graph.add
        constant_left, constant_right = (self.value_of(side) for side in (left, right))
        if sign == "+" and _is_tiny(constant_left):
            return self.plus_tiny(right, constant_left)
        if sign == "+" and _is_tiny(constant_right):
            return self.plus_tiny(left, constant_right)
        if sign == "-" and _is_tiny(constant_right):
            return self.plus_tiny(left, -constant_right)
        if sign == "/" and constant_left == 1:
            return _Number(add("Reciprocal", right.tensor))
        if sign == "*" and _is_near_one(constant_left):
            left, right, constant_right = right, left, constant_left
        if sign in "*/" and _is_near_one(constant_right):  # both signs turned: the same product
            left = _Number(add("Neg", left.tensor))
            right = self.constant(np.float64(-constant_right))
        # a sum is -0.0 only if both parts are, a difference only if the first one is
        negative_zero = sign in "*/" or (left.negative_zero and (sign == "-" or right.negative_zero))
        return _Number(add(_ARITHMETIC[sign], left.tensor, right.tensor), negative_zero)

    def value_of(self, number: _Number) -> float:
        """Give the value of a constant, NaN for anything else."""
        value = self.graph.value_of(number.tensor)
        return math.nan if value is None else float(value.item())

    def plus_tiny(self, x: _Number, tiny: float) -> _Number:
        """Add a constant that the optimizer would take for zero, and leave out, as tiny - (-x)."""
        constant = self.constant(np.float64(tiny))
        tensor = self.graph.add("Sub", constant.tensor, self.graph.add("Neg", x.tensor))
        return _Number(tensor, x.negative_zero and constant.negative_zero)

    def call(self, function: NumberFunction, arguments: list[_Number]) -> _Number:
        first = arguments[0]
        match function:
            case "min" | "max":
                return reduce(lambda a, b: self.extreme(function, a, b), arguments)
            case "clip":
                return self.extreme("min", self.extreme("max", first, arguments[1]), arguments[2])
            case "abs":
                return _Number(self.graph.add("Abs", first.tensor), False)
            case "sqrt":
                return _Number(self.graph.add("Sqrt", first.tensor), first.negative_zero)
            case "log1p":
                return self.log1p(first)
            case "days_between":
                seconds = self.binary("-", arguments[1], first)
                return self.binary("/", seconds, self.constant(SECONDS_A_DAY))
            case "year" | "month" | "day" | "weekday" | "hour":
                found: _Quantity = calendar_part(function, _Quantity(self, first), _Graph(self))
                return found.number
            case _:
                assert_never(function)

    def extreme(self, function: str, a: _Number, b: _Number) -> _Number:
        add = self.graph.add
        nearer = add("Less" if function == "min" else "Greater", a.tensor, b.tensor)
        return self.select(add("Or", add("IsNaN", a.tensor), nearer), a, b)

    def log1p(self, x: _Number) -> _Number:
        add, one, infinity = self.graph.add, self.constant(1.0).tensor, self.constant(np.inf).tensor
        u = add("Add", one, x.tensor)
        kahan = add("Mul", add("Log", u), add("Div", x.tensor, add("Sub", u, one)))
        return self.select(add("Or", add("Equal", u, one), add("Equal", u, infinity)), x, _Number(kahan))

    def select(self, condition: str, if_true: _Number, if_false: _Number) -> _Number:
        """Pick one of two numbers without `Where` ever having to pick -0.0 for a true condition."""
        add, (a, b) = self.graph.add, (if_true.tensor, if_false.tensor)
        fixed = self.graph.value_of(condition)
        if fixed is not None:
            return if_true if fixed.item() else if_false
        negative_zero = if_true.negative_zero or if_false.negative_zero
        if not if_true.negative_zero:
            return _Number(add("Where", condition, a, b), negative_zero)
        if not if_false.negative_zero:  # `Not` would be optimized away, the parts turned back
            opposite = add("Xor", condition, self.graph.constant(np.array([[True]])))
            return _Number(add("Where", opposite, b, a), negative_zero)
        shape = self.columns.row_shape()
        sides = [each if self.graph.value_of(each) is None else add("Expand", each, shape) for each in (b, a)]
        side = add("Cast", condition, to=TensorProto.INT64)
        return _Number(add("GatherElements", add("Concat", *sides, axis=1), side, axis=1), negative_zero)

    def condition(self, node: ConditionNode) -> str:
        if not _uses_column(node):
            return self.graph.constant(np.array([[_computed(node, "condition")]]))
        match node:
            case Column(name):
                return self.columns.condition(name)
            case Comparison("!=", left, right):
                return self.graph.add("Not", self.compare("==", left, right))
            case Comparison(sign, left, right):
                return self.compare(sign, left, right)
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

    def compare(self, sign: str, left: NumberNode, right: NumberNode) -> str:
        return self.graph.add(_COMPARE[sign], self.number(left).tensor, self.number(right).tensor)


class _Quantity:
    """A number of the graph that can be computed with in Python's words."""

    def __init__(self, writer: _Writer, number: _Number) -> None:
        self.writer = writer
        self.number = number

    def _with(self, sign: str, other: _Quantity | float) -> _Quantity:
        right = other.number if isinstance(other, _Quantity) else self.writer.constant(other)
        return _Quantity(self.writer, self.writer.binary(sign, self.number, right))

    def __add__(self, other: _Quantity | float) -> _Quantity:
        return self._with("+", other)

    def __sub__(self, other: _Quantity | float) -> _Quantity:
        return self._with("-", other)

    def __mul__(self, other: _Quantity | float) -> _Quantity:
        return self._with("*", other)

    def __truediv__(self, other: _Quantity | float) -> _Quantity:
        return self._with("/", other)


class _Graph:
    """What calendar functions do besides arithmetic, as nodes."""

    def __init__(self, writer: _Writer) -> None:
        self.writer = writer

    def floor(self, x: _Quantity) -> _Quantity:
        return _Quantity(self.writer, _Number(self.writer.graph.add("Floor", x.number.tensor)))

    def is_less(self, a: _Quantity, b: float) -> _Quantity:
        less = self._compare("Less", a, b)
        tensor = self.writer.graph.add("Cast", less, to=TensorProto.DOUBLE)
        return _Quantity(self.writer, _Number(tensor, False))

    def within(self, x: _Quantity, low: float, beyond: float) -> _Quantity:
        inside = self.writer.graph.add(
            "And", self._compare("GreaterOrEqual", x, low), self._compare("Less", x, beyond)
        )
        return _Quantity(self.writer, self.writer.select(inside, x.number, self.writer.constant(math.nan)))

    def _compare(self, operator: str, a: _Quantity, b: float) -> str:
        return self.writer.graph.add(operator, a.number.tensor, self.writer.constant(b).tensor)


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


def _is_tiny(value: float) -> bool:
    return abs(value) < 1 and bool(np.float32(value) == 0)


def _is_near_one(value: float) -> bool:
    return 0 < value < 2 and value != 1 and bool(np.float32(value) == 1)
