from __future__ import annotations

import copy
import re
from typing import Any

import jsonschema
import pytest
from tests.conftest import ROOT

from tabloop.config.json_schema import config_schema, schema_json
from tabloop.config.loading import build_project
from tabloop.config.origins import settings_of
from tabloop.config.yaml_text import parse_yaml
from tabloop.errors import ConfigError

SCHEMA = config_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
CONFIGS = [ROOT / "config.yaml", *sorted((ROOT / "src").rglob("config.yaml"))]


def default() -> dict[str, Any]:
    loaded: dict[str, Any] = parse_yaml((ROOT / "config.yaml").read_text(), "config.yaml")
    return loaded


def is_loaded(settings: dict[str, Any]) -> bool:
    try:
        build_project(settings, ROOT / "config.yaml")
    except ConfigError:
        return False
    return True


def test_it_is_a_schema_and_asks_no_network() -> None:
    VALIDATOR.check_schema(SCHEMA)
    references = re.findall(r'"\$ref": "([^"]*)"', schema_json())
    assert references
    assert all(each.startswith("#/$defs/") for each in references)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_config_of_the_repository_fits(path: Any) -> None:
    settings = parse_yaml(path.read_text(), str(path))
    assert [error.message for error in VALIDATOR.iter_errors(settings)] == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_what_the_pages_show_of_a_config_fits(page: Any) -> None:
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.S):
        shown = parse_yaml(block, page.name)
        if isinstance(shown, dict) and shown.keys() <= SCHEMA["properties"].keys():
            settings = default()
            for name, section in shown.items():
                settings[name] = (
                    {**settings.get(name, {}), **section} if isinstance(section, dict) else section
                )
            assert [error.message for error in VALIDATOR.iter_errors(settings)] == [], block


def test_everything_in_force_fits_when_it_is_written_out() -> None:
    whole = build_project(default(), ROOT / "config.yaml").config.model_dump(mode="json")
    assert [error.message for error in VALIDATOR.iter_errors(whole)] == []


def test_every_setting_of_the_wrong_type_is_refused_as_loading_refuses_it() -> None:
    whole = build_project(default(), ROOT / "config.yaml").config.model_dump(mode="json")
    refused = 0
    for place, _ in settings_of(whole):
        settings = copy.deepcopy(whole)
        section = settings
        for key in place[:-1]:
            section = section[key]
        section[place[-1]] = [{"no": "setting is this"}]
        assert not VALIDATOR.is_valid(settings), place
        assert not is_loaded(settings), place
        refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    "wrong",
    [
        {"sed": 1},
        {"seed": -1},
        {"cv": {"n_splits": 1}},
        {"data": {"source": {"kind": "csv", "path": "a.csv"}}},
        {"training": {"candidates": {"svm": {"C": -1}}}},
        {"training": {"candidates": {"mine": {"C": 1}}}},
        {"training": {"candidates": {"mine": {"kind": "svm", "depth": 1}}}},
        {"contract": {"columns": {"days": {"type": "nothing"}}}},
        {"monitoring": {"drift_min_sample": 50}},
    ],
    ids=str,
)
def test_what_loading_refuses_the_schema_refuses(wrong: dict[str, Any]) -> None:
    settings = default() | wrong
    assert not VALIDATOR.is_valid(settings)
    assert not is_loaded(settings)


@pytest.mark.parametrize(
    "right",
    [
        {"svm": None},
        {"svm": {"C": 2}},
        {"svm": {"kind": "random_forest"}},
        {"mine": {"kind": "estimator", "import_path": "a.B", "parameters": {"x": 1}}},
    ],
    ids=str,
)
def test_a_candidate_s_name_may_say_its_kind(right: dict[str, Any]) -> None:
    settings = default() | {"training": {"candidates": right}}
    assert VALIDATOR.is_valid(settings)
    assert is_loaded(settings)
