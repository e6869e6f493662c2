"""The words of a formula: numbers, names, backquoted names and signs, each with its position."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from tabloop.contract.formulas.tree import WORDS
from tabloop.errors import FormulaError

MAX_LENGTH = 10_000

_NUMBER = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_QUOTED = re.compile(r"`((?:[^`]|``)+)`(?!`)")
_SIGN = re.compile(r"<=|>=|==|!=|[-+*/<>(),]")
_HINTS = {
    "**": "there is no power, write x * x",
    "<>": "write !=",
    "=": "write == to compare",
    "!": "write not, or != to compare",
    "&": "write and",
    "|": "write or",
    "^": "there is no power, write x * x",
    "'": "there is no text in formulas; unusual column names stand in backquotes",
    '"': "there is no text in formulas; unusual column names stand in backquotes",
    "−": "write the ASCII -",
    "×": "write *",
    "÷": "write /",
    "≤": "write <=",
    "≥": "write >=",
    "≠": "write !=",
}


class Token(NamedTuple):
    """One word, at its zero-based offset; the text of a quoted name is without its backquotes."""

    kind: Literal["number", "name", "quoted", "sign", "end"]
    text: str
    position: int


def tokenize(text: str) -> list[Token]:
    """Split a formula into its words, the last one of kind "end".

    Raises
    ------
    FormulaError
        If the text is too long or holds a character that means nothing.

    Examples
    --------
    >>> [token.text for token in tokenize("`a b`<=1e-6")]
    ['a b', '<=', '1e-6', '']
    """
    if len(text) > MAX_LENGTH:
        problem = f"got {len(text)} characters, expected at most {MAX_LENGTH}: split the formula"
        raise FormulaError(problem, text[:60] + "...", 0)
    tokens = []
    at = 0
    while at < len(text):
        if text[at] in " \t\r\n":
            at += 1
        elif number := _NUMBER.match(text, at):
            tokens.append(Token("number", number[0], at))
            at = number.end()
        elif text[at].isidentifier():
            end = at + 1
            while end < len(text) and ("_" + text[end]).isidentifier():
                end += 1  # not a regular expression: its \w leaves out combining marks
            word = text[at:end]
            tokens.append(Token("sign" if word in WORDS else "name", word, at))
            at = end
        elif quoted := _QUOTED.match(text, at):
            tokens.append(Token("quoted", quoted[1].replace("``", "`"), at))
            at = quoted.end()
        elif text[at] == "`":
            raise FormulaError("no column name in closed backquotes here, expected `name`", text, at)
        elif (sign := _SIGN.match(text, at)) and text[at : at + 2] not in _HINTS:
            tokens.append(Token("sign", sign[0], at))
            at = sign.end()
        else:
            hint = _HINTS.get(text[at : at + 2]) or _HINTS.get(text[at])
            got = text[at : at + 2] if text[at : at + 2] in _HINTS else text[at]
            raise FormulaError(f"unknown character {got!r}" + (f": {hint}" if hint else ""), text, at)
    return [*tokens, Token("end", "", len(text))]
