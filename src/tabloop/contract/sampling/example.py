"""One valid record as plain JSON values, for documentation: small round numbers, no Polars."""

from __future__ import annotations

import random
from typing import Any, Final

from tabloop.contract.checks.record import RecordChecker
from tabloop.contract.contract import Contract
from tabloop.errors import ContractError

_ROUNDS: Final = 5000


def example_record(contract: Contract, *, seed: int = 0) -> dict[str, Any] | None:
    """Make up one record that the contract accepts.

    Parameters
    ----------
    contract : Contract
        The columns and rules that a valid row meets.
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
        choices = {name: column.examples(name, rng) for name, column in contract.columns.items()}
    except ContractError:
        return None
    for _ in range(_ROUNDS):
        record = {name: rng.choice(values) for name, values in choices.items()}
        report = checker.check(record)
        if report.values is not None:
            return dict(zip(contract.columns, report.values, strict=True))
    return None
