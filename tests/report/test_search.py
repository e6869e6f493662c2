from __future__ import annotations

from tabloop.artifacts.documents.metrics import SearchFigures
from tabloop.artifacts.documents.search import FoundSettings, SearchReport, SearchTrial, TrialState
from tabloop.charts.chart import sheet, to_png
from tabloop.report.page import Figures, Listing, Text
from tabloop.report.search import search_blocks


def trial(number: int, values: tuple[float, ...], state: TrialState = "complete") -> SearchTrial:
    return SearchTrial(
        number=number, candidate="tree" if number % 2 else "line", settings={"depth": number}, fit_s=0.1,
        state=state, fold_values=values, value=sum(values) / 2 if state == "complete" else None,
    )  # fmt: skip


def test_a_search_is_drawn_and_its_figures_are_not_told_as_fair() -> None:
    trials = (trial(0, (0.7, 0.8)), trial(1, (0.6,), "pruned"), trial(2, (), "failed"), trial(3, (0.8, 0.9)))
    search = SearchReport(
        rank_by="roc_auc", folds=3, held_back_folds=2, search_rows=600, held_back_rows=400, ended_by="trials",
        took_s=12.0, trials=trials, resumed_trials=0, sampler="optuna 5.0.0, TPESampler",
        found=(
            FoundSettings(candidate="tree", trial=3, settings={"depth": 3, "rate": 0.123456}, value=0.85, trials=2),
            FoundSettings(candidate="line", trial=0, settings={}, value=0.75, trials=2),
        ),
    )  # fmt: skip
    said, drawn, listed = search_blocks(
        search, SearchFigures(trials=4, search_rows=600, held_back_rows=400), "tree"
    )
    assert isinstance(said, Text)
    assert "4 trials on 600 of the training rows" in said.text
    assert "somewhat too good; the threshold rests on the other 400 training rows alone" in said.text
    assert isinstance(drawn, Figures)
    (chart,) = drawn.charts
    assert [row[1:] for row in chart.table.rows] == [("1", "0.75"), ("2", "0.6"), ("4", "0.85")]
    assert to_png(sheet([[chart]])).startswith(b"\x89PNG")
    assert isinstance(listed, Listing)
    assert listed.table.rows == (
        ("tree", "0.85", "depth: 3, rate: 0.1235", "2"),
        ("line", "0.75", "as configured", "2"),
    )
