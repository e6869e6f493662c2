from __future__ import annotations

import pytest

from tabloop.progress import Pace


def test_the_time_left_follows_the_pace_of_the_same_work() -> None:
    pace = Pace()
    assert pace.left_s(0.2, 100.0) is None  # nobody knows when it began
    assert pace.left_s(0.4, 110.0) == pytest.approx(30.0)
    assert pace.left_s(0.4, 120.0) == pytest.approx(60.0)  # stuck, the estimate grows
    assert pace.left_s(1.0, 150.0) == 0.0
    assert pace.left_s(0.0, 200.0) is None  # other work
    assert pace.left_s(0.5, 201.0) == pytest.approx(1.0)
