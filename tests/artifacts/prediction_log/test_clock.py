from __future__ import annotations

import time
from pathlib import Path

from tests.artifacts.prediction_log.log_kit import append, open_log
from tests.artifacts.prediction_log.test_upkeep import filled

from tabloop.artifacts.prediction_log.clock import CLOCK_NAME
from tabloop.artifacts.prediction_log.folder import rotated_files
from tabloop.artifacts.prediction_log.upkeep import keep_up
from tabloop.config.prediction_log import PredictionLogConfig


def test_a_clock_that_leaps_ahead_removes_no_rows_of_the_present(tmp_path: Path) -> None:
    now_s = time.time()
    filled(tmp_path)
    config = PredictionLogConfig(compress=False)
    ahead_s = now_s + 401 * 86_400
    assert keep_up(tmp_path, config, clock_s=lambda: ahead_s) == []  # also where nobody looked before
    assert keep_up(tmp_path, config, clock_s=lambda: now_s) == []  # set right
    with open_log(tmp_path, rotate_bytes=2048, compress=False, clock_ns=lambda: int(ahead_s * 1e9)) as log:
        for _ in range(20):  # rows of its own are no proof of a clock
            append(log, 2)
    files = rotated_files(tmp_path)
    for hours in (0, 12, 23):
        assert keep_up(tmp_path, config, clock_s=lambda h=hours: ahead_s + h * 3600) == []  # type: ignore[misc]
    assert rotated_files(tmp_path) == files
    assert keep_up(tmp_path, config, clock_s=lambda: now_s + 3600) == []
    assert keep_up(tmp_path, config, clock_s=lambda: ahead_s + 86_400) == []  # a leap of its own


def test_a_log_that_nobody_wrote_for_long_is_cleared_a_day_late(tmp_path: Path) -> None:
    filled(tmp_path)
    files = rotated_files(tmp_path)
    config = PredictionLogConfig(compress=False)
    ahead_s = time.time() + 401 * 86_400
    (tmp_path / CLOCK_NAME).write_bytes(b"torn")
    assert keep_up(tmp_path, config, clock_s=lambda: ahead_s) == []
    assert keep_up(tmp_path, config, clock_s=lambda: ahead_s + 86_400) == files
