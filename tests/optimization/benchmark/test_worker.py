from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tabloop.optimization.benchmark.worker import EnergyMeter, draw_rows


def write_zone(folder: Path, zone: str, name: str, energy_uj: int) -> None:
    (folder / zone).mkdir()
    for file, value in (("name", name), ("energy_uj", energy_uj), ("max_energy_range_uj", 9_000_000)):
        (folder / zone / file).write_text(f"{value}\n")


def test_only_packages_are_counted_and_counters_may_wrap(tmp_path: Path) -> None:
    write_zone(tmp_path, "intel-rapl:0", "package-0", 8_000_000)
    write_zone(tmp_path, "intel-rapl:0:0", "core", 1)
    write_zone(tmp_path, "intel-rapl:1", "psys", 1)
    meter = EnergyMeter(tmp_path)
    assert meter.read() == [8_000_000]
    assert meter.joules_between([8_000_000], [8_500_000]) == 0.5
    assert meter.joules_between([8_000_000], [1_000_000]) == 2.0
    assert not EnergyMeter(tmp_path / "nowhere").available


@given(st.integers(1, 50), st.integers(1, 200), st.integers(0, 5))
def test_no_row_comes_again_before_all_came(n_rows: int, n_drawn: int, seed: int) -> None:
    drawn = draw_rows(n_rows, n_drawn, seed)
    assert len(drawn) == n_drawn
    counts = np.bincount(drawn, minlength=n_rows)
    assert counts.max() - counts.min() <= 1
