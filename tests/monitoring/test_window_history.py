from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabloop.artifacts.documents.window_period import WindowPeriod
from tabloop.artifacts.files import iso_utc
from tabloop.drift.tracker import WindowVerdict
from tabloop.drift.windowed_report import FeatureTest
from tabloop.monitoring.window_history import WindowHistory
from tabloop.performance.figures import PerformanceFigure

NOW = datetime.now(UTC)


def verdict(stop: int, effect: float = 0.1, *, alarmed: bool = False, feature: str = "days") -> WindowVerdict:
    test = FeatureTest(feature, None, "rank", effect, 0.2, 0.5, alarmed, f"{feature} moved")
    return WindowVerdict(stop - 100, stop, complete=True, tests=(test,))


def told(history: WindowHistory, *, days: int = 30, most: int = 200) -> list[WindowPeriod]:
    return history.periods(since=NOW - timedelta(days=days), until=NOW, most=most)


def at(hours_ago: float) -> str:
    return iso_utc(NOW - timedelta(hours=hours_ago))


def test_windows_of_an_hour_are_one_period_with_its_clearest_test(tmp_path: Path) -> None:
    history = WindowHistory(tmp_path)
    moment = NOW.replace(minute=30) - timedelta(hours=5)
    for place, (effect, alarmed) in enumerate([(0.15, False), (0.3, True), (0.1, False)]):
        when = iso_utc(moment + timedelta(minutes=place))
        history.add("r", None, verdict(100 * (place + 1), effect, alarmed=alarmed), when)
    (period,) = told(history)
    assert (period.windows, period.alarmed_windows, period.rows, period.stop) == (3, 1, 300, 300)
    peak = period.features["days"]
    assert (peak.effect, peak.alarmed_windows, peak.words) == (0.3, 1, "days moved")


def test_a_segment_is_told_by_the_feature_that_moved_most_in_it(tmp_path: Path) -> None:
    def window(stop: int, **effects: float) -> WindowVerdict:
        tests = tuple(
            FeatureTest(name, "country = DE", "rank", effect, 0.2, 0.5, effect > 0.2, f"{name} moved")
            for name, effect in effects.items()
        )
        return WindowVerdict(stop - 100, stop, complete=True, tests=tests)

    history = WindowHistory(tmp_path)
    moment = NOW.replace(minute=30) - timedelta(hours=5)
    history.add("r", None, window(100, days=0.1, minutes=0.15), iso_utc(moment))
    history.add("r", None, window(200, days=0.3, minutes=0.25), iso_utc(moment + timedelta(minutes=1)))
    history.add("r", None, verdict(300, 0.1), iso_utc(moment + timedelta(minutes=2)))
    history.save()
    for told_by in (history, WindowHistory(tmp_path)):
        (period,) = told(told_by)
        assert list(period.segments) == ["country = DE"]  # of all rows there is no segment
        peak = period.segments["country = DE"]
        assert (peak.feature, peak.effect, peak.segment, peak.alarmed_windows) == ("days", 0.3, None, 1)
        assert period.features["days"].segment == "country = DE"


def test_a_monitor_that_starts_again_says_the_same_and_counts_no_window_twice(tmp_path: Path) -> None:
    history = WindowHistory(tmp_path)
    for place in range(30):
        history.add("r", at(700), verdict(100 * (place + 1)), at(600 - 20 * place))
        history.save()
    anew = WindowHistory(tmp_path)
    assert told(anew) == told(history)
    before = told(anew)
    for place in range(20, 30):  # the latest windows are read again from the log
        anew.add("r", at(700), verdict(100 * (place + 1)), at(600 - 20 * place))
    assert told(anew) == before
    anew.add("r", at(700), verdict(3100), at(0.1))
    assert sum(period.windows for period in told(anew)) == 31


def test_rows_of_another_life_of_the_run_are_counted_anew(tmp_path: Path) -> None:
    history = WindowHistory(tmp_path)
    history.add("r", at(700), verdict(500), at(500))
    history.add("r", at(100), verdict(100), at(50))
    assert [(p.live_since, p.stop) for p in told(history)] == [(at(700), 500), (at(100), 100)]


def test_what_is_older_than_a_month_is_left_out_and_the_file_stays_small(tmp_path: Path) -> None:
    history = WindowHistory(tmp_path)
    history.add("r", None, verdict(100), at(24 * 40))
    stop = 100
    for _ in range(700):
        stop += 100
        history.add("r", None, verdict(stop), at(1))
        history.save()
    lines = (tmp_path / "monitoring" / "windows.jsonl").read_bytes().splitlines()
    assert len(lines) < 600
    anew = WindowHistory(tmp_path)
    (period,) = told(anew, days=31)
    assert period.windows == 700


def test_a_damaged_line_spoils_only_itself(tmp_path: Path) -> None:
    history = WindowHistory(tmp_path)
    history.add("r", None, verdict(100), at(30))
    history.save()
    with (tmp_path / "monitoring" / "windows.jsonl").open("ab") as file:
        file.write(b'{"run_id": "r", "live_si\n\xff\xfe\n5\n')
    history.add("r", None, verdict(200), at(1))
    history.save()
    assert told(WindowHistory(tmp_path)) == told(history)


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "monitoring").write_text("in the way")
    history = WindowHistory(tmp_path)
    history.add("r", None, verdict(100), at(1))
    history.save()
    assert len(told(history)) == 1
    (tmp_path / "monitoring").unlink()
    history.save()
    assert told(WindowHistory(tmp_path)) == told(history)


def test_performance_of_the_last_look_stays(tmp_path: Path) -> None:
    history = WindowHistory(tmp_path)
    moment = (NOW - timedelta(hours=3)).replace(minute=20)
    for value in (0.8, 0.9):
        figure = {"precision": PerformanceFigure(value, value - 0.1, value + 0.1)}
        history.add_performance("r", None, iso_utc(moment), estimated=figure, realized={}, coverage=0.5)
    (period,) = told(history)
    assert (period.estimated["precision"].value, period.windows, period.coverage) == (0.9, 0, 0.5)


def test_a_test_without_a_finite_figure_is_left_out(tmp_path: Path) -> None:
    history = WindowHistory(tmp_path)
    history.add("r", None, verdict(100, float("nan")), at(1))
    history.save()
    (period,) = told(WindowHistory(tmp_path))
    assert period.features == {}
    assert period.windows == 1


@given(
    hours=st.lists(st.floats(0.01, 719), min_size=1, max_size=30),
    most=st.integers(1, 60),
    days=st.integers(1, 30),
)
def test_no_window_is_lost_and_there_are_no_more_periods_than_asked_for(
    tmp_path_factory: pytest.TempPathFactory, hours: list[float], most: int, days: int
) -> None:
    history = WindowHistory(tmp_path_factory.mktemp("history"))
    for place, ago in enumerate(sorted(hours, reverse=True)):
        history.add("r", None, verdict(100 * (place + 1)), at(ago))
    periods = told(history, days=days, most=most)
    assert len(periods) <= most + 1  # the stretch begins within an hour
    first = iso_utc(NOW - timedelta(days=days))[:13]
    assert sum(p.windows for p in periods) == sum(at(ago)[:13] >= first for ago in hours)
    assert [p.end for p in periods] == sorted(p.end for p in periods)
