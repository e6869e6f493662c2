"""What a valid JSON record is: one row as plain values, or everything that is wrong with it.

The definition for requests and streams, without Polars; `tabloop.contract.checks.table` says the same of
tables. JSON has types of its own, so they are taken at their word; each type's file in
`tabloop.contract.columns` says how its values are written.

- `null` is null. So are, in columns whose values are strings, the empty text and the column's
  `null_values`. A nullable column may be left out.
- A field that is no column, or that stands there twice, is refused; one that the contract ignores is
  left out, whatever it holds. Spaces around a text are left out where the contract says so.
- A row rule is judged where its columns are in order, and as `CHECK` in SQL where none that it needs is
  null.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tabloop.contract.checks.strict_json import OverflowedNumber
from tabloop.contract.columns import Reader, RecordValue, Refusal
from tabloop.contract.contract import Contract
from tabloop.contract.formulas.evaluation import Row, evaluate_row
from tabloop.contract.formulas.parser import Formula
from tabloop.errors import RecordProblem, nearest_name

#: How many problems are explained by default; the others are counted.
MAX_PROBLEMS: Final = 100

_SHOWN_CHARACTERS: Final = 60
#: What Polars strips off a text: the white space of Unicode, which is a little less than Python's.
_WHITE_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
#: Suggestions compare texts letter by letter: a body full of unknown fields gets this many.
_MOST_HINTS: Final = 5


@dataclass(frozen=True)
class RecordReport:
    """What `RecordChecker.check` found.

    Attributes
    ----------
    values : tuple or None
        One value for each column, in the contract's order; None if anything is wrong.
    problems : list of RecordProblem
        Everything that is, in order; cut where there is more than was asked for.
    n_problems : int
        The number of all problems.
    """

    values: tuple[RecordValue, ...] | None
    problems: list[RecordProblem]
    n_problems: int


class RecordChecker:
    """Checks decoded JSON values against one contract.

    Parameters
    ----------
    contract : Contract
        The columns and rules that a valid row meets.

    Attributes
    ----------
    readers : mapping of str to Reader
        For each column, what turns a JSON value into the record's.

    Examples
    --------
    >>> checker = RecordChecker(Contract.from_dict({
    ...     "columns": {"days": {"type": "integer", "minimum": 0}, "since": {"type": "timestamp"}},
    ...     "target": {"name": "bought"}}))
    >>> checker.check({"days": 3.0, "since": "2026-01-31T13:00:00+01:00"}).values
    (3, '2026-01-31T12:00:00Z')
    >>> for problem in checker.check({"days": -1, "sinse": "2026-01-31"}).problems:
    ...     print(problem)
    days: got -1, expected at least 0
    since: got nothing, expected a value: the column is not nullable
    sinse: got '2026-01-31', expected a column of the contract, did you mean since?
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self.readers: Mapping[str, Reader] = {
            name: _stripping(column.json_reader()) if contract.strip_spaces else column.json_reader()
            for name, column in contract.columns.items()
        }
        self._known = {*contract.columns, *contract.ignored}
        used = {name for rule in contract.rules for name in rule.columns}
        self._formula_columns = [(name, contract.columns[name]) for name in contract.columns if name in used]

    def check(self, value: Any, *, row: int | None = None, most_problems: int = MAX_PROBLEMS) -> RecordReport:
        """Check one record.

        Parameters
        ----------
        value : object
            As `json.loads` or `tabloop.contract.checks.strict_json.read_json` gives it.
        row : int, optional
            The record's place in its list, for the problems.
        most_problems : int, default=100
            How many problems to explain. The others are counted: a body can be full of unknown fields.

        Returns
        -------
        report : RecordReport
        """
        if not isinstance(value, Mapping):
            expected = "an object of columns"
            problem = RecordProblem(row, "", "type", shown(value), expected)
            return RecordReport(None, [problem][:most_problems], 1)
        values: dict[str, RecordValue] = {}
        problems: list[RecordProblem] = []
        n_problems = 0
        for name, read in self.readers.items():
            got = value.get(name)
            result = read(got)
            if type(result) is Refusal:
                n_problems += 1
                if n_problems > most_problems:
                    continue  # counted only: explaining is most of the work
                code = "missing" if got is None and name not in value else result.code
                problems.append(RecordProblem(row, name, code, shown(got), result.expected))
            else:
                values[name] = result  # type: ignore[assignment]  # mypy does not narrow by exact type
        repeated: Sequence[str] = getattr(value, "repeated", ())
        unknown = [name for name in value if name not in self._known]
        n_problems += len(repeated) + len(unknown)
        for name in repeated[: max(0, most_problems - len(problems))]:
            problems.append(RecordProblem(row, shown_text(name), "duplicate", shown(value[name]), "it once"))
        for place, name in enumerate(unknown[: max(0, most_problems - len(problems))]):
            expected = "a column of the contract" + (self._hint(name, value) if place < _MOST_HINTS else "")
            field = shown_text(name if isinstance(name, str) else str(name))
            problems.append(RecordProblem(row, field, "unknown", shown(value[name]), expected))
        if self._contract.rules:
            broken = list(self._broken_rules(values, row))
            problems += broken
            n_problems += len(broken)
        if not n_problems:
            return RecordReport(tuple(values.values()), [], 0)
        return RecordReport(None, problems[:most_problems], n_problems)

    def _hint(self, name: Any, value: Mapping[Any, Any]) -> str:
        if not isinstance(name, str) or len(name) > _SHOWN_CHARACTERS:
            return ""
        near = nearest_name(name, [known for known in self.readers if known not in value] or self.readers)
        return f", did you mean {near}?" if near else ""

    def _broken_rules(self, values: dict[str, RecordValue], row: int | None) -> Iterator[RecordProblem]:
        numbers: Row = {
            name: column.formula_value(values[name])
            for name, column in self._formula_columns
            if name in values
        }
        for rule in self._contract.rules:
            if all(name in numbers for name in rule.columns) and not rule_holds(rule, numbers):
                got = {name: shown(values[name]) for name in rule.columns}
                yield RecordProblem(row, str(rule), "rule", got, str(rule))


def rule_holds(rule: Formula, row: Row) -> bool:
    """Judge one row by one rule, which holds where a column that it needs is null.

    Parameters
    ----------
    rule : Formula
        The condition.
    row : mapping of str to float, bool, str or None
        `ColumnType.formula_value` of each of the rule's columns.
    """
    for name in rule.required_columns:  # a loop, since the generator of `any` costs as much as the rule
        if row[name] is None:
            return True
    return bool(evaluate_row(rule, row))


def shown(value: Any) -> Any:
    """Cut a value down to something short that every JSON writer takes.

    Examples
    --------
    >>> shown("x" * 100)[-8:], shown(float("nan")), shown([1, 2, 3])
    ('xxxxx...', 'NaN', 'an array of 3')
    """
    match value:
        case None | bool():
            return value
        case str():
            return shown_text(value)
        case OverflowedNumber(token=token):
            return shown_text(token)
        case int():
            is_short = value.bit_length() <= 64
            return value if is_short else f"an integer of {value.bit_length()} bits"
        case float():
            if math.isnan(value):
                return "NaN"
            return ("Infinity" if value > 0 else "-Infinity") if math.isinf(value) else value
        case Mapping():
            return f"an object of {len(value)}"
        case list() | tuple():
            return f"an array of {len(value)}"
        case _:
            return f"a {type(value).__name__}"


def shown_text(text: str) -> str:
    """Cut a text, and escape what is no valid Unicode in it."""
    cut = text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."
    return cut if cut.isascii() else cut.encode("utf-8", "backslashreplace").decode("utf-8")


def _stripping(read: Reader) -> Reader:
    return lambda value: read(value.strip(_WHITE_SPACE) if isinstance(value, str) else value)
