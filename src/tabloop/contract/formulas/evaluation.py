"""What formulas compute: for one row in plain Python, the reference, and for a table with NumPy.

Every evaluator, the later ONNX graph too, keeps to this definition:

- A number is an IEEE 754 binary64, rounded to nearest. Integers and timestamps (seconds since 1970
  UTC) are converted to it. Null is NaN.
- ``+ - * /`` and the sign follow IEEE 754 and never raise: ``x / 0`` is ±inf, ``0 / 0`` is NaN,
  overflow is ±inf.
- A comparison with NaN is false, only ``!=`` is true. ``0.0 == -0.0``.
- A null boolean as a condition is false, so ``not`` of it is true. ``isnull`` tells it apart.
- ``where(c, a, b)`` is ``a`` where ``c``, else ``b``. No part can fail, so it does not show whether
  the other one, or the right side of ``and`` and ``or``, is computed.
- ``min(a, b)`` is ``where(isnan(a) or a < b, a, b)``; ``max`` the same with ``>``; more arguments are
  folded from the left. So NaN goes through, and of two zeros the second is taken.
- ``clip(x, low, high)`` is ``min(max(x, low), high)``: ``high`` where the limits are in the wrong order.
- ``abs`` clears the sign; ``sqrt`` is correctly rounded, NaN below zero, -0.0 of -0.0.
- ``log1p(x)``, with ``u = 1 + x``, is ``x`` if ``u == 1`` or ``u == inf``, otherwise
  ``log(u) * (x / (u - 1))``: -inf at -1, NaN below. This is Kahan's form [1]_, dividing first because
  ``log(u) * x`` can overflow. `log` is the platform's: the one operation whose last bits may differ
  between evaluators.
- ``days_between(a, b)`` and the parts of a moment: see `tabloop.contract.formulas.calendar`.
- A feature that comes out infinite or NaN is null. This happens once, at the very end.

References
----------
.. [1] D. Goldberg, "What every computer scientist should know about floating-point arithmetic",
   ACM Computing Surveys 23(1), 1991, theorem 4.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeAlias, assert_never, cast

from tabloop.contract.formulas.calendar import SCALAR, SECONDS_A_DAY, calendar_part
from tabloop.contract.formulas.parser import Formula
from tabloop.contract.formulas.tree import (
    Binary,
    Call,
    Column,
    Comparison,
    ConditionNode,
    IsNull,
    Logical,
    Negative,
    Not,
    Number,
    NumberFunction,
    NumberNode,
    Where,
)

# NumPy is imported inside the functions that compute tables: the scalar reference works without it.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    _Floats: TypeAlias = NDArray[np.float64] | np.float64
    _Bools: TypeAlias = NDArray[np.bool_] | np.bool_

#: One row: None or NaN is null; booleans may also be 0.0 and 1.0.
Row: TypeAlias = Mapping[str, float | bool | str | None]

# Python's and NumPy's operators agree on all of these, for floats as for arrays.
#: What each sign of a comparison says of two numbers.
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def evaluate_row(formula: Formula, row: Row) -> float | bool:
    """Compute a formula for one row in plain Python.

    An infinite or NaN result is returned as it is; only a feature of it would be null.

    Parameters
    ----------
    formula : Formula
        The formula to compute.
    row : mapping of str to float, bool, str or None
        A value for each of `formula.columns`; None and NaN are null. Further keys are ignored.

    Returns
    -------
    result : float or bool
        A float for a formula of kind "number", a bool for a condition.

    Raises
    ------
    KeyError
        If the row lacks a column of the formula.

    Examples
    --------
    >>> from tabloop.contract.formulas.parser import parse_formula
    >>> formula = parse_formula("max(a, 1) / b", {"a": "number", "b": "number"}, expected="number")
    >>> evaluate_row(formula, {"a": -3, "b": 8})
    0.125
    >>> evaluate_row(formula, {"a": 2, "b": 0}), evaluate_row(formula, {"a": 2, "b": None})
    (inf, nan)
    """
    if formula.kind == "number":
        return _row_number(cast("NumberNode", formula.root), row)
    return _row_condition(cast("ConditionNode", formula.root), row)


def evaluate_table(
    formula: Formula, values: Mapping[str, NDArray[Any]], *, n_rows: int | None = None
) -> NDArray[Any]:
    """Compute a formula for all rows of a table.

    Infinite and NaN results are returned as they are; `evaluate_feature` makes them null.

    Parameters
    ----------
    formula : Formula
        The formula to compute.
    values : mapping of str to ndarray of shape (n_rows,)
        For each of `formula.columns`, by its kind: "number", numbers with NaN for null; "condition",
        0 and 1 with NaN for null, or plain booleans; "text", not the texts but booleans, true where
        the text is null. Further keys are ignored.
    n_rows : int, optional
        The number of rows; needed for a formula without columns.

    Returns
    -------
    result : ndarray of shape (n_rows,)
        A new array: float64 for a formula of kind "number", bool for a condition.

    Raises
    ------
    KeyError
        If a column of the formula is missing.
    ValueError
        If an array has another shape, or the number of rows cannot be known.
    TypeError
        If a text column's array is not boolean.

    Examples
    --------
    >>> import numpy as np
    >>> from tabloop.contract.formulas.parser import parse_formula
    >>> columns = {"passed": "number", "started": "number"}
    >>> rule = parse_formula("passed <= started", columns, expected="condition")
    >>> evaluate_table(rule, {"passed": np.array([1.0, 3.0]), "started": np.array([2.0, 2.0])})
    array([ True, False])
    """
    import numpy as np

    prepared: dict[str, NDArray[Any]] = {}
    for name, kind in zip(formula.columns, formula.column_kinds, strict=True):
        array = np.asarray(values[name])
        if kind == "text" and array.dtype != np.bool_:
            raise TypeError(
                f"text column {name}: got {array.dtype}, expected booleans, true where it is null"
            )
        n_rows = array.shape[0] if n_rows is None and array.ndim else n_rows
        if array.shape != (n_rows,):
            raise ValueError(f"column {name}: got shape {array.shape}, expected ({n_rows},)")
        prepared[name] = array if kind == "text" else array.astype(np.float64, copy=False)
    if n_rows is None:
        raise ValueError(f"formula {formula}: it uses no column, so pass n_rows")
    with np.errstate(all="ignore"):
        if formula.kind == "number":
            floats = _table_number(cast("NumberNode", formula.root), prepared)
            # A constant fills the rows; a bare column is copied, so that the result is never the input.
            return np.array(np.broadcast_to(floats, (n_rows,)), dtype=np.float64)
        bools = _table_condition(cast("ConditionNode", formula.root), prepared)
        return np.array(np.broadcast_to(bools, (n_rows,)), dtype=np.bool_)


def evaluate_feature(
    formula: Formula, values: Mapping[str, NDArray[Any]], *, n_rows: int | None = None
) -> NDArray[np.float64]:
    """Compute an engineered feature: `evaluate_table`, with NaN (null) for every infinite result.

    Examples
    --------
    >>> import numpy as np
    >>> from tabloop.contract.formulas.parser import parse_formula
    >>> formula = parse_formula("1 / a", {"a": "number"}, expected="number")
    >>> evaluate_feature(formula, {"a": np.array([0.0, 4.0])})
    array([ nan, 0.25])
    """
    import numpy as np

    result: NDArray[np.float64] = evaluate_table(formula, values, n_rows=n_rows)
    result[~np.isfinite(result)] = np.nan
    return result


def _row_number(node: NumberNode, row: Row) -> float:
    match node:
        case Number(value):
            return value
        case Column(name):
            number = row[name]
            return math.nan if number is None else float(number)
        case Negative(operand):
            return -_row_number(operand, row)
        case Binary("/", left, right):
            return _divided(_row_number(left, row), _row_number(right, row))
        case Binary(sign, left, right):
            return float(_ARITHMETIC[sign](_row_number(left, row), _row_number(right, row)))
        case Where(condition, if_true, if_false):
            return _row_number(if_true if _row_condition(condition, row) else if_false, row)
        case Call(function, arguments):
            return _row_call(function, [_row_number(argument, row) for argument in arguments])
        case _:
            assert_never(node)


def _row_call(function: NumberFunction, arguments: list[float]) -> float:
    first = arguments[0]
    match function:
        case "min":
            return reduce(_smaller, arguments)
        case "max":
            return reduce(_larger, arguments)
        case "clip":
            return _smaller(_larger(first, arguments[1]), arguments[2])
        case "abs":
            return math.fabs(first)
        case "sqrt":
            return math.nan if first < 0 else math.sqrt(first)
        case "log1p":
            u = 1.0 + first
            if u in (1.0, math.inf):
                return first
            logarithm = math.log(u) if u > 0 else -math.inf if u == 0 else math.nan
            return logarithm * _divided(first, u - 1.0)
        case "days_between":
            return (arguments[1] - first) / SECONDS_A_DAY
        case "year" | "month" | "day" | "weekday" | "hour":
            return float(calendar_part(function, first, SCALAR))
        case _:
            assert_never(function)


def _row_condition(node: ConditionNode, row: Row) -> bool:
    match node:
        case Column(name):
            return row[name] == 1
        case Comparison(sign, left, right):
            return bool(COMPARE[sign](_row_number(left, row), _row_number(right, row)))
        case Logical(sign, left, right):
            if sign == "and":
                return _row_condition(left, row) and _row_condition(right, row)
            return _row_condition(left, row) or _row_condition(right, row)
        case Not(operand):
            return not _row_condition(operand, row)
        case IsNull(column):
            value = row[column.name]
            return value is None or value != value
        case _:
            assert_never(node)


def _divided(a: float, b: float) -> float:
    if b != 0:
        return a / b
    return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1.0, b)


def _smaller(a: float, b: float) -> float:
    return a if math.isnan(a) or a < b else b


def _larger(a: float, b: float) -> float:
    return a if math.isnan(a) or a > b else b


def _table_number(node: NumberNode, values: Mapping[str, NDArray[Any]]) -> _Floats:
    import numpy as np

    match node:
        case Number(value):
            return np.float64(value)
        case Column(name):
            return values[name]
        case Negative(operand):
            return -_table_number(operand, values)
        case Binary(sign, left, right):
            return cast(
                "_Floats", _ARITHMETIC[sign](_table_number(left, values), _table_number(right, values))
            )
        case Where(condition, if_true, if_false):
            chosen = _table_condition(condition, values)
            return np.where(chosen, _table_number(if_true, values), _table_number(if_false, values))
        case Call(function, arguments):
            return _table_call(function, [_table_number(argument, values) for argument in arguments])
        case _:
            assert_never(node)


def _table_call(function: NumberFunction, arguments: list[_Floats]) -> _Floats:
    import numpy as np

    def smaller(a: _Floats, b: _Floats) -> _Floats:
        return np.where(np.isnan(a) | (a < b), a, b)

    def larger(a: _Floats, b: _Floats) -> _Floats:
        return np.where(np.isnan(a) | (a > b), a, b)

    first = arguments[0]
    match function:
        case "min":
            return reduce(smaller, arguments)
        case "max":
            return reduce(larger, arguments)
        case "clip":
            return smaller(larger(first, arguments[1]), arguments[2])
        case "abs":
            return np.fabs(first)
        case "sqrt":
            return np.sqrt(first)
        case "log1p":
            u = 1.0 + first
            return np.where((u == 1.0) | (u == np.inf), first, np.log(u) * (first / (u - 1.0)))
        case "days_between":
            return (arguments[1] - first) / SECONDS_A_DAY
        case "year" | "month" | "day" | "weekday" | "hour":
            return cast("_Floats", calendar_part(function, first, _Table()))
        case _:
            assert_never(function)


class _Table:
    """NumPy's floats, for calendar functions."""

    def floor(self, x: _Floats) -> _Floats:
        import numpy as np

        return cast("_Floats", np.floor(x))

    def is_less(self, a: _Floats, b: float) -> _Floats:
        import numpy as np

        return np.asarray(a < b, dtype=np.float64)

    def within(self, x: _Floats, low: float, beyond: float) -> _Floats:
        import numpy as np

        return np.where((x >= low) & (x < beyond), x, np.nan)


def _table_condition(node: ConditionNode, values: Mapping[str, NDArray[Any]]) -> _Bools:
    import numpy as np

    match node:
        case Column(name):
            return cast("_Bools", values[name] == 1)
        case Comparison(sign, left, right):
            return cast("_Bools", COMPARE[sign](_table_number(left, values), _table_number(right, values)))
        case Logical(sign, left, right):
            join = np.logical_and if sign == "and" else np.logical_or
            return cast("_Bools", join(_table_condition(left, values), _table_condition(right, values)))
        case Not(operand):
            return np.logical_not(_table_condition(operand, values))
        case IsNull(column):
            is_null = values[column.name]
            return is_null if column.kind == "text" else np.isnan(is_null)
        case _:
            assert_never(node)
