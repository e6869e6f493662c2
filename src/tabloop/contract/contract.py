"""The contract: columns, row rules, engineered features and target, stated once."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import Field, ValidationError

from tabloop.contract.columns import CategoryColumn, Column, TimestampColumn
from tabloop.contract.formulas.parser import Formula, parse_formula
from tabloop.contract.section import Section
from tabloop.contract.target import TargetConfig
from tabloop.errors import ContractError, FormulaError

FORMAT_VERSION = 1


class ContractConfig(Section):
    """Columns, row rules and feature formulas as they stand in `config.yaml`."""

    columns: dict[str, Column] = Field(min_length=1, description="The input columns, by name, in order.")
    rules: tuple[str, ...] = Field(
        (), description="Conditions over the columns that every row has to meet, as formulas."
    )
    features: dict[str, str] = Field(
        default_factory=dict, description="Engineered numeric features, by name, as formulas."
    )


def name_problem(name: str) -> str | None:
    r"""Say why a column, a feature or the target cannot be called so, if it cannot.

    Any other character is fine in files, databases, JSON and formulas alike, `%` and spaces included.

    Examples
    --------
    >>> name_problem("growth in %"), name_problem('the "size"')
    (None, 'a name without double quotes and backslashes is expected, which JSON has to escape; rename it')
    """
    if not name.strip():
        return "a column needs a name"
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        return "a name without line breaks and control characters is expected; rename it"
    if '"' in name or "\\" in name:
        return "a name without double quotes and backslashes is expected, which JSON has to escape; rename it"
    return None


@dataclass(frozen=True)
class Contract:
    """What a valid row is and what the model sees of it.

    Parameters
    ----------
    config : ContractConfig
        The columns, rules and formulas as written.
    target : TargetConfig
        The column to predict.
    ignored : tuple of str, default=()
        Columns that rows may have and that are left out, in a file as in a request (`data.ignore`).
    strip_spaces : bool, default=False
        Whether spaces around a text are left out before anything is asked of it, in a file as in a request.

    Raises
    ------
    ContractError
        If a name stands for two things, a formula cannot be read, or a formula uses the target; all
        problems are in one message.

    Examples
    --------
    >>> contract = Contract.from_dict({
    ...     "columns": {"days": {"type": "integer"}, "country": {"type": "category", "open": True}},
    ...     "features": {"weeks": "days / 7"},
    ...     "target": {"name": "bought"},
    ... })
    >>> contract.numeric_features, contract.category_features
    (('days', 'weeks'), ('country',))
    """

    config: ContractConfig
    target: TargetConfig
    ignored: tuple[str, ...] = ()
    strip_spaces: bool = False

    def __post_init__(self) -> None:
        problems: list[str] = []
        if self.target.name in self.config.columns:
            problems.append(f"contract.columns.{self.target.name}: the target cannot be an input column")
        for name in self.config.features:
            if name in self.config.columns or name == self.target.name:
                problems.append(f"contract.features.{name}: the name is already a column")
        for name in (*self.config.columns, *self.config.features, self.target.name):
            if problem := name_problem(name):
                problems.append(f"contract: {name!r}: {problem}")
        try:
            _ = self.rules, self.features
        except ContractError as error:
            problems.append(str(error))
        if not problems and not self.numeric_features and not self.category_features:
            problems.append(
                "contract.columns: only texts and columns with `model: false`, and no engineered feature: "
                "nothing a model could learn from"
            )
        if problems:
            raise ContractError("\n".join(problems))

    @property
    def columns(self) -> Mapping[str, Column]:
        """The input columns by name, in order."""
        return self.config.columns

    @cached_property
    def rules(self) -> tuple[Formula, ...]:
        """The row rules, parsed."""
        return tuple(self._parse({rule: rule for rule in self.config.rules}, "rules").values())

    @cached_property
    def features(self) -> Mapping[str, Formula]:
        """The engineered features by name, parsed."""
        return self._parse(self.config.features, "features")

    def _parse(self, formulas: Mapping[str, str], place: str) -> dict[str, Formula]:
        kinds = {name: column.formula_kind for name, column in self.columns.items()}
        forbidden = {self.target.name: "it is the target"}
        parsed: dict[str, Formula] = {}
        problems = []
        for name, text in formulas.items():
            try:
                parsed[name] = parse_formula(
                    text,
                    kinds,
                    expected="condition" if place == "rules" else "number",
                    forbidden=forbidden,
                )
            except FormulaError as error:
                where = f"contract.{place}" if place == "rules" else f"contract.{place}.{name}"
                problems.append(f"{where}: {error}")
        if problems:
            raise ContractError("\n".join(problems))
        return parsed

    @cached_property
    def numeric_features(self) -> tuple[str, ...]:
        """What reaches the model as float64: its numeric columns in order, then engineered features."""
        raw = [n for n, column in self.columns.items() if column.model and column.formula_kind != "text"]
        return (*raw, *self.config.features)

    @cached_property
    def category_features(self) -> tuple[str, ...]:
        """The category columns that the model sees, in order."""
        return tuple(
            name
            for name, column in self.columns.items()
            if column.model and isinstance(column, CategoryColumn)
        )

    @cached_property
    def formula_columns(self) -> frozenset[str]:
        """The columns that an engineered feature mentions."""
        return frozenset(name for formula in self.features.values() for name in formula.columns)

    @cached_property
    def timestamp_columns(self) -> tuple[str, ...]:
        """The columns of moments, in order; a model sees them as seconds since 1970, a person as dates."""
        return tuple(name for name, column in self.columns.items() if isinstance(column, TimestampColumn))

    @property
    def probability_name(self) -> str:
        """The name under which a probability is published."""
        return f"predicted_{self.target.answer_name}_probability"

    @property
    def decision_name(self) -> str:
        """The name under which a decision is published."""
        return f"predicted_{self.target.answer_name}"

    def to_dict(self) -> dict[str, Any]:
        """Describe the contract as plain JSON values, complete and in a fixed form."""
        described = {
            "format_version": FORMAT_VERSION,
            "columns": {name: column.model_dump(mode="json") for name, column in self.columns.items()},
            "rules": list(self.config.rules),
            "features": dict(self.config.features),
            "target": self.target.described(),
        }
        # only where they say something, so that contracts without them keep their hash
        if self.ignored:
            described["ignored"] = list(self.ignored)
        if self.strip_spaces:
            described["strip_spaces"] = True
        return described

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Contract:
        """Build a contract from what `to_dict` wrote.

        Raises
        ------
        ContractError
            If the description is of another format version, or holds something unknown.
        """
        if not isinstance(description, Mapping):
            raise ContractError(f"contract: got a {type(description).__name__}, expected an object")
        description = dict(description)
        version = description.pop("format_version", FORMAT_VERSION)
        if version != FORMAT_VERSION:
            raise ContractError(f"contract: got format_version {version}, expected {FORMAT_VERSION}")
        target = description.pop("target", None)
        ignored = tuple(map(str, description.pop("ignored", ())))
        strip_spaces = description.pop("strip_spaces", False) is True
        try:
            config, predicted = (
                ContractConfig.model_validate(description),
                TargetConfig.model_validate(target),
            )
            return cls(config, predicted, ignored, strip_spaces)
        except ValidationError as error:
            told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise ContractError(f"contract: {told}") from error

    def to_json(self) -> str:
        """Write the contract as JSON text; the order of the columns is part of it."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of `to_json`, in hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()
