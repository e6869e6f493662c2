"""Say what a change of the contract means for the rows and models there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tabloop.contract.columns import CategoryColumn, Column
from tabloop.contract.contract import Contract
from tabloop.contract.formulas.tree import format_node

Severity = Literal["compatible", "backfillable", "breaking"]

_ORDER: tuple[Severity, ...] = ("compatible", "backfillable", "breaking")


@dataclass(frozen=True)
class ContractChange:
    """One difference between two contracts.

    Attributes
    ----------
    where : str
        Such as `columns.country`.
    severity : {"compatible", "backfillable", "breaking"}
        How much the change breaks; see `diff_contracts`.
    what : str
        The difference in words.
    """

    where: str
    severity: Severity
    what: str


@dataclass(frozen=True)
class ContractDiff:
    """Every difference between two contracts."""

    changes: tuple[ContractChange, ...]

    @property
    def severity(self) -> Severity:
        """The gravest change; `compatible` where there is none."""
        return max((change.severity for change in self.changes), key=_ORDER.index, default="compatible")


def diff_contracts(old: Contract, new: Contract) -> ContractDiff:
    """Compare two contracts.

    Parameters
    ----------
    old : Contract
        The contract that rows and requests were made for.
    new : Contract
        The contract that they would have to meet.

    Returns
    -------
    diff : ContractDiff
        `compatible`: every row and request valid before is valid after, and the model sees the same.
        `backfillable`: rows stay valid, but the model sees something new, which can be computed for
        old rows; a new model is needed. `breaking`: rows or requests that were valid are no longer, or
        answers change their meaning.

    Examples
    --------
    >>> def contract(**days):
    ...     return Contract.from_dict({"columns": {"days": {"type": "integer", **days}},
    ...                                "target": {"name": "bought"}})
    >>> diff_contracts(contract(maximum=10), contract(maximum=20)).severity
    'compatible'
    >>> diff_contracts(contract(maximum=20), contract(maximum=10)).changes[0].what
    'maximum 20 became 10'
    """
    return ContractDiff(
        (
            *_columns(old, new),
            *_reading(old, new),
            *_rules(old, new),
            *_features(old, new),
            *_target(old, new),
        )
    )


def _columns(old: Contract, new: Contract) -> Iterator[ContractChange]:
    for name in old.columns:
        if name not in new.columns:
            yield ContractChange(
                f"columns.{name}", "breaking", "removed: rows that hold it have an unknown column"
            )
    for name, column in new.columns.items():
        where = f"columns.{name}"
        if name not in old.columns:
            if column.nullable:
                yield ContractChange(where, "backfillable", "added, nullable: old rows hold null")
            else:
                yield ContractChange(where, "breaking", "added, not nullable: old rows lack it")
        elif old.columns[name].type != column.type:
            before = old.columns[name].type
            yield ContractChange(where, "breaking", f"type {before} became {column.type}")
        else:
            yield from _column(where, old.columns[name], column)
    if list(old.columns) != list(new.columns) and set(old.columns) == set(new.columns):
        yield ContractChange("columns", "backfillable", "another order: the model's inputs move")


def _column(where: str, old: Column, new: Column) -> Iterator[ContractChange]:
    before, after = dict(old), dict(new)
    for key in before:
        if key == "description" or before[key] == after[key]:
            continue
        if key == "categories" and isinstance(new, CategoryColumn) and new.open:
            yield ContractChange(where, "compatible", "categories changed in an open column")
            continue
        if key == "model":
            said = "the model sees it now" if new.model else "the model sees it through formulas only now"
            yield ContractChange(where, "backfillable", said)
            continue
        said = f"{key} {_shown(before[key])} became {_shown(after[key])}"
        yield ContractChange(where, "compatible" if _loosens(key, before, after) else "breaking", said)


def _loosens(key: str, before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether every value that one clause let through is let through now, with the same meaning."""
    old, new = before[key], after[key]
    match key:
        case "nullable" | "open":
            return bool(new)
        case "minimum":
            return new is None or (old is not None and new <= old)
        case "maximum":
            return new is None or (old is not None and new >= old)
        case "min_length":
            return bool(new <= old)
        case "max_length":
            return bool(new >= old)
        case "pattern":
            return new is None
        case "categories":
            return new is None or (old is not None and set(new) >= set(old))
        case "true_values" | "false_values":
            return set(new) >= set(old)
        case _:  # null_values: a text that was a value becomes null, or the other way round
            return False


def _reading(old: Contract, new: Contract) -> Iterator[ContractChange]:
    for name in sorted({*old.ignored} - {*new.ignored, *new.columns}):
        yield ContractChange(
            f"ignored.{name}", "breaking", "no longer ignored: rows that hold it are refused"
        )
    for name in sorted({*new.ignored} - {*old.ignored, *old.columns}):
        yield ContractChange(f"ignored.{name}", "compatible", "ignored from now on")
    if old.strip_spaces != new.strip_spaces:
        said = "spaces around texts are left out" if new.strip_spaces else "spaces around texts are kept"
        yield ContractChange("strip_spaces", "breaking", said)


def _rules(old: Contract, new: Contract) -> Iterator[ContractChange]:
    before = {format_node(rule.root): rule for rule in old.rules}
    after = {format_node(rule.root): rule for rule in new.rules}
    for text in sorted(before.keys() - after.keys()):
        yield ContractChange("rules", "compatible", f"removed: {before[text]}")
    for text in sorted(after.keys() - before.keys()):
        yield ContractChange("rules", "breaking", f"added: {after[text]}")


def _features(old: Contract, new: Contract) -> Iterator[ContractChange]:
    for name in [*old.features, *(n for n in new.features if n not in old.features)]:
        where = f"features.{name}"
        if name not in new.features:
            yield ContractChange(where, "backfillable", "removed: the model sees one feature less")
        elif name not in old.features:
            yield ContractChange(where, "backfillable", "added: old rows can be computed")
        elif format_node(old.features[name].root) != format_node(new.features[name].root):
            yield ContractChange(where, "backfillable", f"{old.features[name]} became {new.features[name]}")


def _target(old: Contract, new: Contract) -> Iterator[ContractChange]:
    for key in ("name", "positive_text", "negative_text"):
        before, after = getattr(old.target, key), getattr(new.target, key)
        if before != after:
            yield ContractChange("target", "breaking", f"{key.removesuffix('_text')} {before} became {after}")
    if old.decision_name != new.decision_name:
        said = f"answers were named {old.decision_name}, are named {new.decision_name}"
        yield ContractChange("target", "breaking", said)


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
