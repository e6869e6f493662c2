"""Row rules that compare two numbers, which most do: judged without walking their tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from tabloop.contract.formulas.evaluation import COMPARE
from tabloop.contract.formulas.parser import Formula
from tabloop.contract.formulas.tree import Column, Comparison
from tabloop.inference.records.record_type import Record, RecordField

Get: TypeAlias = Callable[[Record], Any]


def plain_comparisons(
    rules: Sequence[Formula], fields: Mapping[str, RecordField]
) -> list[tuple[Callable[[float, float], bool], Get, Get]]:
    """Give those rules that compare two columns of numbers which are never null.

    Parameters
    ----------
    rules : sequence of Formula
        The contract's rules.
    fields : mapping of str to RecordField
        Its columns by name.

    Returns
    -------
    comparisons : list of (compare, left, right)
        The rule holds where ``compare(float(left(record)), float(right(record)))``.
    """

    def number(node: object) -> Get | None:
        if not isinstance(node, Column):
            return None
        field = fields[node.name]
        is_number = field.column.type in ("integer", "number") and not field.column.nullable
        return field.get if is_number else None

    return [
        (COMPARE[rule.root.operator], left, right)
        for rule in rules
        if isinstance(rule.root, Comparison)
        and (left := number(rule.root.left)) is not None
        and (right := number(rule.root.right)) is not None
    ]
