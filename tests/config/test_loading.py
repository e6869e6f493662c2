from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tabloop.config.loading import load_project
from tabloop.errors import ConfigError

SMALL = """
data:
  source: {kind: csv, path: table.csv}
  target: {name: bought}
contract:
  columns:
    days: {type: integer}
    country: {type: category, open: true}
"""


def load(folder: Path, text: str = SMALL, *overrides: str, environ: dict[str, str] | None = None) -> Any:
    (folder / "config.yaml").write_text(text)
    return load_project(folder / "config.yaml", overrides=overrides, environ=environ or {})


def problem(folder: Path, text: str = SMALL, *overrides: str, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as error:
        load(folder, text, *overrides, environ=environ)
    return str(error.value)


def test_later_sources_win(tmp_path: Path) -> None:
    text = SMALL + "cv: {n_splits: 4}\nseed: 1\n"
    assert load(tmp_path).config.cv.n_splits == 5
    assert load(tmp_path, text).config.cv.n_splits == 4
    environ = {"TABLOOP_CV__N_SPLITS": "6", "TABLOOP_SEED": "2", "TABLOOP_REAL_DATA": "/nowhere"}
    assert load(tmp_path, text, environ=environ).config.cv.n_splits == 6
    assert load(tmp_path, text, environ=environ).config.seed == 2
    overridden = load(tmp_path, text, "cv.n_splits=7", "cv.n_splits=8", environ=environ)
    assert overridden.config.cv.n_splits == 8


def test_every_problem_is_in_one_message(tmp_path: Path) -> None:
    text = SMALL + "monitoring: {drift_min_samples: 0, drift_zscore_treshold: 3.0}\n"
    assert problem(tmp_path, text) == (
        f"{tmp_path / 'config.yaml'}: 2 settings are wrong\n"
        "  monitoring.drift_min_samples: got 0, expected at least 1\n"
        "  monitoring.drift_zscore_treshold: unknown setting, did you mean drift_zscore_threshold?"
    )


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["sed=1"], "sed: unknown setting, did you mean seed? (from --set sed)"),
        (["data.test_size=1"], "data.test_size: got 1, expected less than 1"),
        (["data.source.kind=exel"], "data.source: got kind 'exel'"),
        (["data.source={path: a.csv}"], "data.source: missing kind, which says what it is"),
        (["training.candidates.svm.gamma=x"], "gamma: got x, expected 'scale' or 'auto' or a number"),
        (["training.candidates={foo: {}}"], "training.candidates.foo: missing kind"),
        (["training.candidates={forest: {kind: random_florest}}"], "did you mean random_forest?"),
        (["training.candidates={svm: {C: 1, c: 1}}"], "training.candidates.svm.c: unknown setting, did you mean C?"),
        (["training.candidates={../x: {kind: svm}}"], "names files"),
        (["training.candidates={}"], "at least 1 of them"),
        (["contract.columns.days.minimum=5", "contract.columns.days.maximum=4"], "minimum 5 is above maximum 4"),
        (["contract.columns.days.maximum=1e300"], "expected a whole number"),
        (["contract.columns.country={type: category}"], "give `categories`, or `open: true`"),
        (["contract.columns.country={type: category, categories: [no, 1]}"], "got 1, expected a text (quote it)"),
        (["contract.columns.country.pattern='[A'"], "not a regular expression"),
        (["contract.features.weeks=dayz / 7"], "did you mean days?"),
        (["contract.features.weeks=bought * 2"], "it is the target"),
        (["contract.features.days=days + 1"], "the name is already a column"),
        (["contract.rules=[days + 1]"], "contract.rules"),
        (["data.target.name=days"], "the target cannot be an input column"),
        (["data.target.positive=A"], "say what `negative` is"),
        (["data.target={name: b, positive: 1, negative: 1.0}"], "positive and negative are both 1"),
        (["business.target_precision=high"], "expected a number"),
        (["seed.x=1"], "seed is a value, not a section"),
        (["seed"], "expected section.key=value"),
        (["seed=[1"], "--set seed=[1: not YAML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: Path, overrides: list[str], said: str) -> None:
    text = SMALL + "seed: 42\n"
    assert said in problem(tmp_path, text, *overrides)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.weight=days", "seed=1"], "\n  data.weight: days has to be a number"),
        (["data.split={kind: group, column: shop}", "business.capacity=50"], "data.split.kind: group, expected null"),
        (["data.weight=persons", "business.costs={hit: 1, false_alarm: 1}"], "business.costs: got a value with data"),
        (["data.weight=persons", "training.candidates={knn: {kind: k_neighbors}}"], "candidates.knn: k nearest neighbours take no row weights"),
        (["business.costs={hit: -1, false_alarm: 1}"], "\n  business.costs.hit: got -1, expected at least 0"),
        (["business.costs={hit: 1}"], "\n  business.costs.false_alarm: missing"),
        (["training.search={seconds: 0}"], "\n  training.search.seconds: got 0, expected more than 0"),
        (["data.ignore=[days]"], "\n  data.ignore names what the contract uses: days"),
    ],
)  # fmt: skip
def test_what_sections_make_wrong_is_told_at_the_setting(
    tmp_path: Path, overrides: list[str], said: str
) -> None:
    message = problem(tmp_path, SMALL, *overrides)
    assert said in message
    assert "from --set seed" not in message


def test_a_wrong_environment_variable_is_named(tmp_path: Path) -> None:
    said = problem(tmp_path, environ={"TABLOOP_CV__N_SPLIT": "3"})
    assert "cv.n_split: unknown setting, did you mean n_splits? (from TABLOOP_CV__N_SPLIT)" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "data: missing"),
        ("- 1\n", "got a list, expected sections"),
        ("a: [\n", "not YAML"),
        (SMALL + "data: {}\n", "'data' stands twice"),
    ],
)
def test_a_broken_file_is_said(tmp_path: Path, text: str, said: str) -> None:
    assert said in problem(tmp_path, text)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; `tabloop init FILE --target COL` writes one"):
        load_project(tmp_path / "config.yaml", environ={})


def test_exponents_are_numbers(tmp_path: Path) -> None:
    assert (
        load(tmp_path, SMALL, "training.candidates={svm: {C: 1e-3}}").config.training.candidates["svm"].C
        == 1e-3
    )


def test_a_candidates_kind_follows_from_its_name(tmp_path: Path) -> None:
    candidates = load(
        tmp_path, SMALL, "training.candidates={svm: , small: {kind: svm, C: 0.1}}"
    ).config.training.candidates
    assert [(name, c.kind, c.C) for name, c in candidates.items()] == [
        ("svm", "svm", 1.0),
        ("small", "svm", 0.1),
    ]


def test_settings_cannot_be_changed_later(tmp_path: Path) -> None:
    project = load(tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        project.config.seed = 3


def test_what_is_shown_loads_to_the_same(tmp_path: Path, default_project: Any) -> None:
    shown = yaml.safe_dump(default_project.config.model_dump(mode="json"), sort_keys=False)
    (tmp_path / "config.yaml").write_text(shown)
    again = load_project(tmp_path / "config.yaml", environ={})
    assert again.config.to_json() == default_project.config.to_json()
    assert again.contract.sha256 == default_project.contract.sha256
