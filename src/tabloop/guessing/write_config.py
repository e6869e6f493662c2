"""Write a commented config.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel

from tabloop.config.artifacts import ArtifactsConfig
from tabloop.config.business import BusinessConfig
from tabloop.config.data import DataConfig, Source
from tabloop.config.monitoring import MonitoringConfig
from tabloop.config.preprocessing import PreprocessingConfig
from tabloop.config.release import ReleaseConfig
from tabloop.config.training import TrainingConfig
from tabloop.contract.columns import BooleanColumn, TimestampColumn
from tabloop.contract.formulas.tree import Binary, Call, Number, format_node
from tabloop.contract.formulas.tree import Column as ColumnNode
from tabloop.extras import missing_libraries
from tabloop.guessing.caps import candidates_for
from tabloop.guessing.column_guess import ColumnGuess
from tabloop.guessing.splits import SplitGuess

#: Words that YAML 1.1 reads as something else than text.
_YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
#: YAML wants `? key` for longer ones.
_LONGEST_SIMPLE_KEY = 1000
_LONGEST_LINE = 160
_LONGEST_NAME_IN_EXAMPLE = 60
_ORDER = ("type", "kind", "minimum", "maximum", "categories", "open", "max_length")


@dataclass(frozen=True)
class ConfigDraft:
    """What a config.yaml is to say; a `*_seen` is what a guess was made from, None for no guess."""

    file_name: str
    rows: int
    is_all: bool
    source: Source
    source_seen: str
    target: str
    positive: str
    negative: str
    prediction_name: str
    target_seen: str
    columns: tuple[ColumnGuess, ...]
    ignored: tuple[ColumnGuess, ...]
    max_quarantine_fraction: float
    quarantine_seen: str | None
    min_category_rows: int
    n_splits: int
    splits_seen: str | None
    split_guesses: tuple[SplitGuess, ...] = ()


class _Page:
    """The lines so far, and the guesses that were marked in them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.guesses: list[str] = []

    def add(self, line: str, guess: str | None = None, subject: str = "") -> None:
        if not guess:
            self.lines.append(line)
            return
        self.guesses.append(f"{subject}: {guess}")
        comment = f"# guessed: {_shown(guess)}"
        if len(line) + len(comment) > _LONGEST_LINE:  # nobody reads a comment that far to the right
            self.lines.append(f"{' ' * (len(line) - len(line.lstrip()))}{comment}")
            self.lines.append(line)
        else:
            self.lines.append(f"{line}  {comment}")

    def ask(self, setting: str, guess: str) -> None:
        """Propose a setting that only a person can decide on: it is commented out."""
        self.guesses.append(f"{_shown(setting)}? {_shown(guess)}")
        self.lines.append(f"  # guessed: {_shown(guess)}; take the # away below:")
        self.lines.append(f"  # {_shown(setting)}")


def render_config(draft: ConfigDraft) -> tuple[str, tuple[str, ...]]:
    """Write the draft as commented YAML.

    Parameters
    ----------
    draft : ConfigDraft
        The settings that the file is to hold.

    Returns
    -------
    text : str
        The file; `tabloop.config.loading.load_project` reads it.
    guesses : tuple of str
        The guesses marked in it, in order.
    """
    page = _Page()
    looked_at = "all of them" if draft.is_all else "the first ones"
    page.add(
        f"# tabloop's reading of {_quoted(draft.file_name)}: {draft.rows:,} rows looked at, {looked_at}."
    )
    page.add(
        "# What is marked `guessed` was guessed from them: mend what is wrong. Limits are meant to be what is"
    )
    page.add(
        "# possible at all, not what was seen: write `minimum: 0` where less is impossible. Categories that"
    )
    page.add("# are not listed are accepted (`open`). Then:")
    page.add("#   tabloop data check    says which rows the contract refuses, and why")
    page.add("#   tabloop run           trains, judges and releases a model")
    page.add(
        "# Every setting and its default: `tabloop config show --origin`, or your editor by the schema beside"
    )
    page.add("seed: 42")
    _add_data(page, draft)
    _add_contract(page, draft)
    _add_training(page, draft)
    return "\n".join(page.lines) + "\n", tuple(page.guesses)


def yaml_scalar(value: Any) -> str:
    """Write one value so that YAML reads the same value back.

    Parameters
    ----------
    value : str, bool, int, float or None
        Texts are quoted unless they are plain names.

    Returns
    -------
    text : str
        One line of printable characters.

    Examples
    --------
    >>> [yaml_scalar(value) for value in ("days", "yes", "1e5", 1e300, None)]
    ['days', '"yes"', '"1e5"', '1.0e+300', 'null']
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, int):
        return str(value)
    text = str(value)
    is_plain = text.replace("-", "_").isidentifier() and text.casefold() not in _YAML_WORDS
    return text if is_plain and text[0] != "-" and text.isprintable() else _quoted(text)


def _add_data(page: _Page, draft: ConfigDraft) -> None:
    page.add("\ndata:")
    source = draft.source.model_dump(exclude_defaults=True)
    page.add(f"  source: {_flow(source)}", draft.source_seen, "source")
    positive, negative = _target_value(draft.positive), _target_value(draft.negative)
    target = {"name": draft.target, "positive": positive, "negative": negative}
    page.add(
        f"  target: {_flow(target | {'prediction_name': draft.prediction_name})}",
        draft.target_seen,
        f"target {_shown(draft.target)}",
    )
    page.add("  ignore:" if draft.ignored else "  ignore: []")
    for guess in draft.ignored:
        page.add(f"    - {yaml_scalar(guess.name)}", guess.ignore, f"ignored {_shown(guess.name)}")
    page.add(f"  test_size: {DataConfig.model_fields['test_size'].default}")
    for split in draft.split_guesses:
        page.ask(f"split: {_flow(split.setting)}", split.seen)
    page.add(
        f"  max_quarantine_fraction: {draft.max_quarantine_fraction}",
        draft.quarantine_seen,
        "max_quarantine_fraction",
    )


def _add_contract(page: _Page, draft: ConfigDraft) -> None:
    page.add("\ncontract:\n  columns:")
    keys = [yaml_scalar(guess.name) for guess in draft.columns]
    width = min(40, max(len(key) for key in keys)) + 1
    for key, guess in zip(keys, draft.columns, strict=True):
        if guess.column is None:
            continue
        settings = guess.column.model_dump(exclude_defaults=True)
        for limit in {"minimum", "maximum"} & set(settings):
            if isinstance(settings[limit], float) and abs(settings[limit]) < 2**53:
                settings[limit] = int(settings[limit])  # powers of ten read better without their ".0"
        if len(key) > _LONGEST_SIMPLE_KEY:
            page.add(f"    ? {key}")
            key = ""
        page.add(f"    {key + ':':<{width}} {_flow(settings)}", guess.seen, f"column {_shown(guess.name)}")
    moments = {g.name: g.column for g in draft.ignored if isinstance(g.column, TimestampColumn)}
    if moments:
        page.add(
            "    # Moments for formulas, such as hour(a), weekday(a), days_between(a, b). Take the name out"
        )
        page.add("    # of data.ignore and the line below in; the model sees what the formula makes of it.")
    for name, column in moments.items():
        settings = column.model_dump(mode="json", exclude_defaults=True) | {"model": False}
        page.add(f"    # {_shown(yaml_scalar(name))}: {_flow(settings)}")
    page.add("  rules: []  # conditions that every row has to meet, such as: " + _example_rule(draft))
    page.add("  features: {}")
    page.add(
        f"  # engineered features, by a name of your own, such as (in place of {{}}):\n{_example(draft)}"
    )


def _add_training(page: _Page, draft: ConfigDraft) -> None:
    page.add("\npreprocessing:")
    preprocessing = PreprocessingConfig.model_validate({"min_category_rows": draft.min_category_rows})
    _add_block(page, preprocessing)
    page.add("\ntraining:\n  candidates:")
    for name, candidate in candidates_for(draft.rows).items():
        comment = f"  # {candidate.reason}" if candidate.reason else ""
        page.add(f"    {name}: {_flow(candidate.settings)}{comment}")
    page.add("    # hist_gradient_boosting: {}")
    for booster in ("lightgbm", "xgboost", "catboost"):
        if not missing_libraries(booster):
            page.add(f"    # {booster}: {{}}")
    _add_block(page, TrainingConfig.model_validate({}), without=("candidates", "workers", "time_budget_s"))
    page.add("")
    page.add(f"cv: {{n_splits: {draft.n_splits}}}", draft.splits_seen, "cv.n_splits")
    for section, default in (
        ("business", BusinessConfig.model_validate({})),
        ("artifacts", ArtifactsConfig.model_validate({})),
        ("release", ReleaseConfig.model_validate({})),
    ):
        page.add(f"{section}: {_flow(default.model_dump())}")
    page.add("monitoring:")
    _add_block(page, MonitoringConfig.model_validate({}), without=("performance",))


def _add_block(page: _Page, section: BaseModel, without: Iterable[str] = ()) -> None:
    for name, value in section.model_dump(mode="json", exclude=set(without)).items():
        page.add(f"  {name}: {_flow(value) if isinstance(value, list) else yaml_scalar(value)}")


def _numeric(draft: ConfigDraft) -> list[str]:
    """Name the columns that an example may use: numbers whose names fit a comment."""
    others = (BooleanColumn, TimestampColumn)
    return [
        guess.name
        for guess in draft.columns
        if guess.column is not None
        and guess.column.formula_kind == "number"
        and not isinstance(guess.column, others)
        and guess.name.isprintable()
        and len(guess.name) <= _LONGEST_NAME_IN_EXAMPLE
    ]


def _example(draft: ConfigDraft) -> str:
    names = _numeric(draft)
    if len(names) < 2:
        return "  #   ratio: a / max(b, 1)"
    first, second = (ColumnNode(name=name, kind="number") for name in names[:2])
    formula = Binary(operator="/", left=first, right=Call(function="max", arguments=(second, Number(1.0))))
    return f"  #   ratio: {_formula(format_node(formula))}"


def _example_rule(draft: ConfigDraft) -> str:
    names = _numeric(draft)
    first, second = names[:2] if len(names) > 1 else ("a", "b")
    nodes = [format_node(ColumnNode(name=name, kind="number")) for name in (first, second)]
    return f"[{_quoted(' <= '.join(nodes))}]"


def _formula(text: str) -> str:
    # a plain YAML text ends at " #" or ": ", and cannot begin with a backquote
    return text if text.isascii() and not set(text) & set("`#:\"'{}[]") else _quoted(text)


def _target_value(text: str) -> str | int | bool:
    """Write 0, 1, true and false as themselves and all else quoted: an unquoted yes is true in YAML."""
    simple: dict[str, int | bool] = {"0": 0, "1": 1, "true": True, "false": False}
    return simple.get(text, text)


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        rank = {name: place for place, name in enumerate(_ORDER)}
        names = sorted(value, key=lambda name: rank.get(name, len(rank)))
        return "{" + ", ".join(f"{name}: {_flow(value[name])}" for name in names) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return yaml_scalar(value)


def _quoted(text: str) -> str:
    quoted = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=2**31)
    return quoted.removesuffix("\n")


def _shown(text: str) -> str:
    """Fit a text into a comment: one printable line."""
    plain = text if text.isprintable() else _quoted(text)[1:-1]
    return plain if len(plain) <= 300 else f"{plain[:297]}..."


def _float(value: float) -> str:
    text = repr(value)
    mantissa, mark, exponent = text.partition("e")
    if not mark:
        return text
    # YAML 1.1 wants a point and a sign: 1.0e+16
    mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
    return f"{mantissa}e{exponent if exponent[0] in '+-' else '+' + exponent}"
