"""The contract's formula language: from text to a typed tree.

Engineered features and row rules are written in `config.yaml` as formulas over the columns. Loosest first::

    or    and    not    < <= > >= == !=  (not chained)    + -    * /    unary - +
    12  0.5  1e-6    column    `any column name`    function(...)    (formula)

Each part is a number or a condition, settled while parsing into the nodes of
`tabloop.contract.formulas.tree`; `tabloop.contract.formulas.evaluation` defines what they compute.
Neither `eval` nor `ast` sees a formula: it can only compute.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Never, cast

from tabloop.contract.formulas.tokens import Token, tokenize
from tabloop.contract.formulas.tree import (
    COMPARISON_PRECEDENCE,
    FUNCTIONS,
    NAMES_OF_COLUMNS_TOO,
    PRECEDENCE,
    PREFIX_PRECEDENCE,
    WORDS,
    ArithmeticOperator,
    Binary,
    Call,
    Column,
    ColumnKind,
    Comparison,
    ComparisonOperator,
    ConditionNode,
    FormulaKind,
    IsNull,
    Logical,
    LogicalOperator,
    Negative,
    Node,
    Not,
    Number,
    NumberFunction,
    NumberNode,
    Where,
    format_node,
)
from tabloop.errors import FormulaError, suggestion

__all__ = ["MAX_LEVELS", "ColumnKind", "Formula", "FormulaKind", "parse_formula"]

#: Bounds the height of the tree too, so that no recursive walk comes near Python's limit.
MAX_LEVELS = 100

_WORD_HINTS = {
    "and": "write and",
    "or": "write or",
    "not": "write not",
    "null": "write isnull(column)",
    "none": "write isnull(column)",
    "nan": "write isnull(column)",
    "true": "a boolean column is a condition by itself",
    "false": "a boolean column is a condition by itself, write not column",
}


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula that was read and fits its columns; `parse_formula` makes one.

    Attributes
    ----------
    text : str
        As it was written; also what `str` gives.
    root : Node
        The tree.
    kind : {"number", "condition"}
        The kind of the formula's result.
    columns : tuple of str
        The columns it uses, in order of first use.
    column_kinds : tuple of {"number", "condition", "text"}
        The kind of each of `columns`.
    required_columns : tuple of str
        Those used outside `isnull`, in order of first use there.
    """

    text: str
    root: Node
    kind: FormulaKind
    columns: tuple[str, ...]
    column_kinds: tuple[ColumnKind, ...]
    required_columns: tuple[str, ...]

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[object, ...]:
        # Read again instead of pickling the tree: joblib's pickler takes nine frames for each level.
        return _restore, (self.text, dict(zip(self.columns, self.column_kinds, strict=True)), self.kind)


def _restore(text: str, columns: Mapping[str, ColumnKind], kind: FormulaKind) -> Formula:
    return parse_formula(text, columns, expected=kind)


def parse_formula(
    text: str,
    columns: Mapping[str, ColumnKind],
    *,
    expected: FormulaKind,
    forbidden: Mapping[str, str] = MappingProxyType({}),
) -> Formula:
    """Read a formula and check it against the columns that it may use.

    Parameters
    ----------
    text : str
        The formula, at most 10,000 characters and 100 levels deep.
    columns : mapping of str to {"number", "condition", "text"}
        The known columns.
    expected : {"number", "condition"}
        What it must result in: a feature is a number, a row rule a condition.
    forbidden : mapping of str to str, optional
        Names that must not be used, such as the target, each with the reason.

    Returns
    -------
    formula : Formula
        The typed tree and the columns in use.

    Raises
    ------
    FormulaError
        At the first thing that is wrong, with its position.

    Examples
    --------
    >>> columns = {"tries": "number", "passed": "number"}
    >>> formula = parse_formula("where(tries > 0, passed / tries, 0)", columns, expected="number")
    >>> formula.columns
    ('tries', 'passed')
    >>> parse_formula("passd / 2", columns, expected="number")
    Traceback (most recent call last):
    tabloop.errors.FormulaError: unknown column passd, did you mean passed? (position 1)
      passd / 2
      ^
    """
    return _Parser(text, columns, forbidden).formula(expected)


class _Part(NamedTuple):
    node: Node
    kind: ColumnKind
    height: int = 1


class _Operator(NamedTuple):
    token: Token
    precedence: int
    is_prefix: bool


class _Parser:
    """Reads operators by precedence with a stack, so that Python only recurses into parentheses."""

    def __init__(self, text: str, columns: Mapping[str, ColumnKind], forbidden: Mapping[str, str]) -> None:
        self._text = text
        self._columns = columns
        self._forbidden = forbidden
        self._tokens = tokenize(text)
        self._at = 0
        self._level = 0
        self._used: dict[str, ColumnKind] = {}
        self._required: dict[str, None] = {}

    def formula(self, expected: FormulaKind) -> Formula:
        if len(self._tokens) == 1:
            raise FormulaError("the formula is empty, expected one such as column / 60", self._text, 0)
        part = self._expression()
        if self._token.kind != "end":
            self._fail_unexpected("an operator or the end")
        root: Node
        if expected == "number":
            root = self._number(part, "a feature")
        else:
            root = self._condition(part, "a row rule")
        names, kinds = tuple(self._used), tuple(self._used.values())
        return Formula(self._text, root, expected, names, kinds, tuple(self._required))

    def _expression(self) -> _Part:
        parts: list[_Part] = []
        operators: list[_Operator] = []
        while True:
            while self._sees(PREFIX_PRECEDENCE):
                token = self._next()
                operators.append(_Operator(token, PREFIX_PRECEDENCE[token.text], True))
            parts.append(self._operand())
            if not self._sees(PRECEDENCE):
                break
            token = self._next()
            precedence = PRECEDENCE[token.text]
            while operators and operators[-1].precedence >= precedence:
                if operators[-1].precedence == precedence == COMPARISON_PRECEDENCE:
                    self._fail("comparisons do not chain: instead of a < b < c write a < b and b < c", token)
                self._apply(operators.pop(), parts)
            operators.append(_Operator(token, precedence, False))
        while operators:
            self._apply(operators.pop(), parts)
        return parts[0]

    def _apply(self, operator: _Operator, parts: list[_Part]) -> None:
        sign, position = operator.token.text, operator.token.position
        right = parts.pop()
        if operator.is_prefix:
            if sign == "not":
                node: Node = Not(self._condition(right, "not"), position=position)
            else:
                node = Negative(self._number(right, f"the sign {sign}"), position=position)
            # A plus sign leaves no trace: the number is what it was.
            parts.append(right if sign == "+" else self._part(node, right))
            return
        left = parts.pop()
        if sign in WORDS:
            conditions = self._condition(left, sign), self._condition(right, sign)
            node = Logical(cast("LogicalOperator", sign), *conditions, position=position)
        else:
            numbers = self._number(left, sign), self._number(right, sign)
            if PRECEDENCE[sign] == COMPARISON_PRECEDENCE:
                node = Comparison(cast("ComparisonOperator", sign), *numbers, position=position)
            else:
                node = Binary(cast("ArithmeticOperator", sign), *numbers, position=position)
        parts.append(self._part(node, left, right))

    def _operand(self) -> _Part:
        token = self._next()
        if token.kind == "number":
            value = float(token.text)
            if math.isinf(value):
                self._fail("the number is too large, expected less than 1.8e308", token)
            return _Part(Number(value, position=token.position), "number")
        if token.kind == "sign" and token.text == "(":
            self._enter(token)
            part = self._expression()
            self._leave(token, "an operator or )")
            return part
        if token.kind == "name" and self._sees("("):
            return self._call(token)
        if token.kind in ("name", "quoted"):
            column = self._column(token)
            self._required[column.name] = None
            return _Part(column, column.kind)
        self._at -= 1
        return self._fail_unexpected("a number, a column or (")

    def _column(self, token: Token) -> Column:
        name = token.text
        is_function = token.kind == "name" and name in FUNCTIONS
        if is_function and not (name in NAMES_OF_COLUMNS_TOO and name in self._columns):
            self._fail(f"{name} is a function: write {name}(...), or `{name}` for a column", token)
        if name in self._forbidden:
            self._fail(f"{name} cannot be used: {self._forbidden[name]}", token)
        if name not in self._columns:
            self._require_backquotes(token)
            hint = _WORD_HINTS.get(name.lower()) if token.kind == "name" else None
            tail = f": {hint}" if hint else suggestion(name, list(self._columns))
            self._fail(f"unknown column {name}{tail}", token)
        kind = self._columns[name]
        self._used[name] = kind
        return Column(name, kind, position=token.position)

    def _require_backquotes(self, token: Token) -> None:
        # `Größe (cm)` without backquotes looks like a call, `days active` like a missing operator.
        for name in self._columns:
            if len(name) > len(token.text) and self._text.startswith(name, token.position):
                self._fail(f"the column {name} has to stand in backquotes: `{name}`", token)

    def _call(self, token: Token) -> _Part:
        name, position = token.text, token.position
        if name not in FUNCTIONS:
            self._require_backquotes(token)
            known = name in self._columns
            tail = ": it is a column, an operator is missing" if known else suggestion(name, list(FUNCTIONS))
            self._fail(f"unknown function {name}{tail}", token)
        opening = self._next()
        self._enter(opening)
        parts: list[_Part] = []
        closed_at_once = self._sees(")")
        while not closed_at_once:
            parts.append(self._bare_column() if name == "isnull" else self._expression())
            if not self._sees(","):
                break
            self._next()
        self._leave(opening, ", or )" if name == "isnull" else "an operator, a comma or )")
        least, most = FUNCTIONS[name]
        if not least <= len(parts) <= most:
            expected = str(least) if least == most else f"{least} or more"
            self._fail(f"{name}: got {len(parts)} arguments, expected {expected}", token)
        if name == "isnull":
            node: Node = IsNull(cast("Column", parts[0].node), position=position)
        elif name == "where":
            condition = self._condition(parts[0], "the first argument of where")
            numbers = [
                self._number(part, f"the {nth} argument of where")
                for part, nth in zip(parts[1:], ("second", "third"), strict=True)
            ]
            node = Where(condition, *numbers, position=position)
        else:
            arguments = tuple(self._number(part, name) for part in parts)
            node = Call(cast("NumberFunction", name), arguments, position=position)
        return self._part(node, *parts)

    def _bare_column(self) -> _Part:
        is_bare = self._token.kind in ("name", "quoted") and self._tokens[self._at + 1].text in (",", ")", "")
        if not is_bare:
            self._fail("isnull takes the name of one column, not an expression", self._token)
        column = self._column(self._next())
        return _Part(column, column.kind)

    def _enter(self, opening: Token) -> None:
        self._level += 1
        if self._level > MAX_LEVELS:
            self._fail(f"more than {MAX_LEVELS} levels of parentheses: split the formula", opening)

    def _leave(self, opening: Token, expected: str) -> None:
        if self._token.kind == "end":
            self._fail("this ( is never closed", opening)
        if not self._sees(")"):
            self._fail_unexpected(expected)
        self._next()
        self._level -= 1

    def _part(self, node: Node, *children: _Part) -> _Part:
        height = 1 + max(child.height for child in children)
        if height > MAX_LEVELS:
            problem = f"more than {MAX_LEVELS} operators, each on the result of the one before"
            self._fail(f"{problem}: group them with parentheses, as in (a + b) + (c + d)", node)
        is_number = isinstance(node, Negative | Binary | Call | Where)
        return _Part(node, "number" if is_number else "condition", height)

    def _number(self, part: _Part, what: str) -> NumberNode:
        if part.kind == "condition":
            shown = _shown(part.node)
            got = f"got the condition {shown}: write where({shown}, 1, 0)"
            self._fail(f"{what} needs a number, {got}", part.node)
        self._refuse_text(part)
        return cast("NumberNode", part.node)

    def _condition(self, part: _Part, what: str) -> ConditionNode:
        if part.kind == "number":
            shown = _shown(part.node)
            got = f"got the number {shown}: compare it, as in {shown} > 0"
            self._fail(f"{what} needs a condition, {got}", part.node)
        self._refuse_text(part)
        return cast("ConditionNode", part.node)

    def _refuse_text(self, part: _Part) -> None:
        if part.kind == "text":
            shown = _shown(part.node)
            self._fail(f"{shown} holds text, which only isnull({shown}) can use in a formula", part.node)

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def _sees(self, signs: Container[str]) -> bool:
        return self._token.kind == "sign" and self._token.text in signs

    def _next(self) -> Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _fail(self, problem: str, at: Token | Node) -> Never:
        raise FormulaError(problem, self._text, at.position)

    def _fail_unexpected(self, expected: str) -> Never:
        token = self._token
        got = "the end" if token.kind == "end" else token.text
        hint = _WORD_HINTS.get(token.text.lower()) if token.kind == "name" else None
        self._fail(f"got {got}, expected {expected}" + (f": {hint}" if hint else ""), token)


def _shown(node: Node) -> str:
    text = format_node(node)
    return text if len(text) <= 40 else f"{text[:37]}..."
