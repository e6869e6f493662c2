from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.conftest import Workspace

from tabloop.config.loading import load_project
from tabloop.errors import ConfigError


def test_the_demo_is_a_folder_whose_contract_takes_every_row(tmp_path: Path) -> None:
    done = Workspace(tmp_path).run("init", "--demo", "--json")
    assert done.code == 0, done.err
    folder = tmp_path / "tabloop-demo"
    names = {Path(each).name for each in json.loads(done.out)["written"]}
    assert names == {each.name for each in folder.iterdir()}
    assert names == {"students.csv", "config.yaml", "config.schema.json", "README.md"}
    checked = Workspace(folder).run("data", "check", "--json")
    assert checked.code == 0, checked.err
    assert json.loads(checked.out)["quarantined"] == 0
    assert json.loads(checked.out)["accepted"] == 4000


def test_its_page_shows_commands_that_exist(tmp_path: Path) -> None:
    folder = Workspace(tmp_path)
    assert folder.run("init", "--demo", "here").code == 0
    page = (tmp_path / "here" / "README.md").read_text()
    shown = re.findall(r"^    tabloop (.*?)(?: *#.*)?$", page, re.M)
    assert len(shown) >= 7
    for words in shown:
        command = words.replace("FIRST SECOND", "").split()
        names = [word for word in command if not word.startswith("-") and word.isalpha()][:2]
        assert folder.run(*names[: 2 if names[0] in ("data", "runs") else 1], "--help").code == 0, words


def test_what_is_there_stays_unless_forced(tmp_path: Path) -> None:
    folder = Workspace(tmp_path)
    assert folder.run("init", "--demo", ".").code == 0
    (tmp_path / "README.md").write_text("mine")
    refused = folder.run("init", "--demo", ".")
    assert refused.code == 2
    assert "--force" in refused.err
    assert (tmp_path / "README.md").read_text() == "mine"
    assert folder.run("init", "--demo", ".", "--force").code == 0
    assert load_project(tmp_path / "config.yaml", environ={}).config.seed == 42
    with pytest.raises(ConfigError):
        load_project(tmp_path / "none.yaml")
