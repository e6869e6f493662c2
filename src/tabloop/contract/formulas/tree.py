"""The tree of a formula: a closed union of small nodes, each a number or a condition.

The tree is public: each evaluator (one row, a table, an ONNX graph) walks it. It is well typed
by construction: an evaluator needs one function for `NumberNode`, one for `ConditionNode`, and no checks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias, assert_never

from tabloop.contract.formulas.calendar import CALENDAR_FUNCTIONS, CalendarFunction

#: What a column is to a formula. Category and text columns are "text": only `isnull` takes them.
ColumnKind = Literal["number", "condition", "text"]
#: What a formula, or a part of it, results in.
FormulaKind = Literal["number", "condition"]

ArithmeticOperator = Literal["+", "-", "*", "/"]
ComparisonOperator = Literal["<", "<=", ">", ">=", "==", "!="]
LogicalOperator = Literal["and", "or"]
NumberFunction = (
    Literal["min", "max", "abs", "log1p", "sqrt", "clip"] | CalendarFunction | Literal["days_between"]
)

#: Every function with its least and largest number of arguments.
FUNCTIONS: Mapping[str, tuple[int, float]] = MappingProxyType(
    {
        "where": (3, 3),
        "min": (2, math.inf),
        "max": (2, math.inf),
        "abs": (1, 1),
        "log1p": (1, 1),
        "sqrt": (1, 1),
        "clip": (3, 3),
        "isnull": (1, 1),
        **dict.fromkeys(CALENDAR_FUNCTIONS, (1, 1)),
        "days_between": (2, 2),
    }
)

#: Functions that came when columns of their names were in use: without a parenthesis behind it such a name is
#: the column.
NAMES_OF_COLUMNS_TOO = frozenset({*CALENDAR_FUNCTIONS, "days_between"})

#: The operators that are words; reserved like the names of functions.
WORDS = ("and", "or", "not")
#: How tightly an operator binds; operators of the same number are applied from the left.
PRECEDENCE = {"or": 1, "and": 2} | dict.fromkeys(("<", "<=", ">", ">=", "==", "!="), 4)
PRECEDENCE |= {"+": 5, "-": 5, "*": 6, "/": 6}
PREFIX_PRECEDENCE = {"not": 3, "+": 7, "-": 7}
COMPARISON_PRECEDENCE = 4
_OPERAND = 8


@dataclass(frozen=True, slots=True)
class _Positioned:
    #: Zero-based offset of the number, name or operator that made the node; equality ignores it.
    position: int = field(default=0, kw_only=True, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Number(_Positioned):
    """A literal: finite and not negative, since a sign is a `Negative` around it."""

    value: float


@dataclass(frozen=True, slots=True)
class Column(_Positioned):
    """The value of a column; of kind "text" only inside `IsNull`."""

    name: str
    kind: ColumnKind


@dataclass(frozen=True, slots=True)
class Negative(_Positioned):
    """The operand with its sign flipped."""

    operand: NumberNode


@dataclass(frozen=True, slots=True)
class Binary(_Positioned):
    """Arithmetic on two numbers."""

    operator: ArithmeticOperator
    left: NumberNode
    right: NumberNode


@dataclass(frozen=True, slots=True)
class Call(_Positioned):
    """A function from numbers to a number."""

    function: NumberFunction
    arguments: tuple[NumberNode, ...]


@dataclass(frozen=True, slots=True)
class Where(_Positioned):
    """One of two numbers, chosen by a condition."""

    condition: ConditionNode
    if_true: NumberNode
    if_false: NumberNode


@dataclass(frozen=True, slots=True)
class Comparison(_Positioned):
    """Two numbers compared."""

    operator: ComparisonOperator
    left: NumberNode
    right: NumberNode


@dataclass(frozen=True, slots=True)
class Logical(_Positioned):
    """Two conditions joined."""

    operator: LogicalOperator
    left: ConditionNode
    right: ConditionNode


@dataclass(frozen=True, slots=True)
class Not(_Positioned):
    """The opposite of a condition."""

    operand: ConditionNode


@dataclass(frozen=True, slots=True)
class IsNull(_Positioned):
    """Whether a column has no value."""

    column: Column


NumberNode: TypeAlias = Number | Column | Negative | Binary | Call | Where
ConditionNode: TypeAlias = Column | Comparison | Logical | Not | IsNull
Node: TypeAlias = NumberNode | ConditionNode


def format_node(node: Node) -> str:
    """Write a tree as canonical text, which parses to an equal tree.

    Equal trees have the same text: numbers in their shortest form, only the parentheses that are needed.

    Examples
    --------
    >>> from tabloop.contract.formulas.parser import parse_formula
    >>> formula = parse_formula("(2.50*a)-(a -(1e0))", {"a": "number"}, expected="number")
    >>> format_node(formula.root)
    '2.5 * a - (a - 1)'
    """
    match node:
        case Number(value):
            return str(int(value)) if value.is_integer() and value < 1e16 else repr(value)
        case Column(name):
            plain = name.isidentifier() and name not in WORDS and name not in FUNCTIONS
            return name if plain else "`" + name.replace("`", "``") + "`"
        case Negative(operand):
            return "-" + _enclosed(operand, PREFIX_PRECEDENCE["-"])
        case Not(operand):
            return "not " + _enclosed(operand, PREFIX_PRECEDENCE["not"])
        case (
            Binary(operator, left, right) | Comparison(operator, left, right) | Logical(operator, left, right)
        ):
            own = PRECEDENCE[operator]
            return f"{_enclosed(left, own)} {operator} {_enclosed(right, own + 1)}"
        case Where(condition, if_true, if_false):
            return f"where({format_node(condition)}, {format_node(if_true)}, {format_node(if_false)})"
        case Call(function, arguments):
            return f"{function}({', '.join(map(format_node, arguments))})"
        case IsNull(column):
            return f"isnull({format_node(column)})"
        case _:
            assert_never(node)


def _enclosed(node: Node, least: int) -> str:
    match node:
        case Binary() | Comparison() | Logical():
            precedence = PRECEDENCE[node.operator]
        case Not():
            precedence = PREFIX_PRECEDENCE["not"]
        case _:
            precedence = _OPERAND
    return format_node(node) if precedence >= least else f"({format_node(node)})"
