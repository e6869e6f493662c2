"""One valid record as plain JSON values, for documentation: small round numbers, no Polars."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from typing import Any, Final

from tabloop.contract.checks.record import RecordChecker
from tabloop.contract.columns import (
    BooleanColumn,
    Column,
    IntegerColumn,
    NumberColumn,
    TimestampColumn,
)
from tabloop.contract.contract import Contract
from tabloop.contract.sampling.texts import matching_texts
from tabloop.errors import ContractError

_ROUND_NUMBERS: Final = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500)
_ROUND_MOMENTS: Final = tuple(datetime(2026, month, 1, 12, tzinfo=UTC) for month in range(1, 13))
_ROUNDS: Final = 5000


def example_record(contract: Contract, *, seed: int = 0) -> dict[str, Any] | None:
    """Make up one record that the contract accepts.

    Parameters
    ----------
    contract : Contract
        What a valid row is.
    seed : int, default=0
        Equal seeds give equal records.

    Returns
    -------
    record : dict of str to int, float, str or bool; or None
        A value for each column, nullable ones too. None where chance finds no row that meets the rules,
        or no text that matches a pattern: an example is worth no failure.

    Examples
    --------
    >>> contract = Contract.from_dict({
    ...     "columns": {"passed": {"type": "integer", "minimum": 0}, "started": {"type": "integer"},
    ...                 "grade": {"type": "category", "categories": ["A", "B"]}},
    ...     "rules": ["passed < started"], "target": {"name": "bought"}})
    >>> example_record(contract)
    {'passed': 10, 'started': 200, 'grade': 'B'}
    """
    rng = random.Random(seed)  # noqa: S311 - an example, no secret
    checker = RecordChecker(contract)
    try:
        choices = {name: _choices(name, column, rng) for name, column in contract.columns.items()}
    except ContractError:
        return None
    for _ in range(_ROUNDS):
        record = {name: rng.choice(values) for name, values in choices.items()}
        report = checker.check(record)
        if report.values is not None:
            return dict(zip(contract.columns, report.values, strict=True))
    return None


def _choices(name: str, column: Column, rng: random.Random) -> list[Any]:
    match column:
        case IntegerColumn():
            ends = [column.minimum, column.maximum]
            return [n for n in _ROUND_NUMBERS if column.minimum <= n <= column.maximum] or ends
        case NumberColumn():
            low = -math.inf if column.minimum is None else column.minimum
            high = math.inf if column.maximum is None else column.maximum
            round_numbers = [float(n) for n in _ROUND_NUMBERS if low <= n <= high]
            return round_numbers or [end for end in (low, high) if math.isfinite(end)]
        case BooleanColumn():
            return [True, False]
        case TimestampColumn():
            first, last = column.minimum, column.maximum
            moments = [*_ROUND_MOMENTS, *(end for end in (first, last) if end is not None)]
            return [
                moment.isoformat()
                for moment in moments
                if (first is None or first <= moment) and (last is None or moment <= last)
            ]
        case _:
            return matching_texts(name, column, rng, most=1)
