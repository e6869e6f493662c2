from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from tabloop.config.training import TrainingConfig
from tabloop.guessing.caps import candidates_for


@pytest.mark.parametrize("rows", [10, 30_000, 200_000, 1_000_000, 10_000_000])
def test_what_is_chosen_is_valid_and_every_cap_has_its_reason(rows: int) -> None:
    chosen = candidates_for(rows)
    settings: Any = {name: dict(candidate.settings) for name, candidate in chosen.items()}
    TypeAdapter(TrainingConfig).validate_python({"candidates": settings})
    usual = candidates_for(100)
    for name, candidate in chosen.items():
        assert bool(candidate.reason) == (candidate.settings != usual[name].settings)


def test_no_larger_table_gets_looser_caps() -> None:
    caps = [candidates_for(rows) for rows in (30_000, 200_000, 1_000_000)]
    for name, setting in (
        ("svm", "max_rows"),
        ("k_neighbors", "max_rows"),
        ("random_forest", "n_estimators"),
    ):
        values = [each[name].settings.get(setting, 10**9) for each in caps]
        assert values == sorted(values, reverse=True)
