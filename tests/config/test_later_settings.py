from __future__ import annotations

import json
from typing import Any

from tabloop.config.config import Config
from tabloop.config.loading import Project


def test_a_run_from_before_max_rows_samples_nothing(default_project: Project) -> None:
    recorded: Any = json.loads(default_project.config.to_json())
    for name in ("svm", "k_neighbors"):
        assert recorded["training"]["candidates"][name].pop("max_rows")
    candidates: Any = Config.from_json(json.dumps(recorded)).training.candidates
    assert candidates["svm"].max_rows is None
    assert candidates["k_neighbors"].max_rows is None


def test_a_run_of_today_is_read_as_it_was_written(default_project: Project) -> None:
    config = default_project.config
    assert Config.from_json(config.to_json()) == config
