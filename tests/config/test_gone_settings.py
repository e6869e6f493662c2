from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.config.test_loading import SMALL, load, problem

from tabloop.config.config import Config
from tabloop.config.gone_settings import GONE_SETTINGS
from tabloop.config.reference import render_reference

KINDS = {
    "data.source.connect_timeout_s": ("data.source={kind: sql, path: a.db, table: t}",),
    "scoring.sink.batch_rows": ("scoring.sink={kind: sql, path: a.db, table: t, key: [k]}",),
    "scoring.sink.connect_timeout_s": ("scoring.sink={kind: sql, path: a.db, table: t, key: [k]}",),
}


@pytest.mark.parametrize("name", sorted(GONE_SETTINGS))
def test_a_setting_that_is_gone_says_why_and_what_to_do(tmp_path: Path, name: str) -> None:
    said = problem(tmp_path, SMALL, *KINDS.get(name, ()), f"{name}=1")
    assert f"  {name}: this setting is gone: {GONE_SETTINGS[name]} (from --set {name})" in said
    assert "1 setting is wrong" in said


def setting_names() -> set[str]:
    """List every setting, such as `data.source.csv.path`, as the page names them."""
    return {
        line.split("`")[1]
        for line in render_reference().splitlines()
        if line.startswith("| `") and "`" in line[3:]
    }


def test_no_setting_is_both_gone_and_known() -> None:
    known = {name.partition("[")[0] + name.partition("]")[2] for name in setting_names()}
    assert not known & set(GONE_SETTINGS)


def test_successors_that_are_named_exist() -> None:
    known = setting_names()
    sections = {name.partition(".")[0] for name in known}
    for reason in GONE_SETTINGS.values():
        for word in reason.replace(";", " ").split():
            if word.partition(".")[0] in sections and word.count(".") and not word.endswith("."):
                assert word in known


def test_a_run_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    config = load(tmp_path).config
    recorded: Any = json.loads(config.to_json())
    for name in GONE_SETTINGS:
        place = recorded
        *sections, last = name.split(".")
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = 7
    assert Config.from_json(json.dumps(recorded)) == config
