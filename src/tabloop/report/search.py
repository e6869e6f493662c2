"""What a search for settings tried and found."""

from __future__ import annotations

from tabloop.artifacts.documents.metrics import SearchFigures
from tabloop.artifacts.documents.search import SearchReport, SearchTrial, Settings
from tabloop.charts.chart import Chart, Table
from tabloop.charts.colours import candidate_colours
from tabloop.charts.plot_area import LegendEntry
from tabloop.charts.scale import Axis
from tabloop.charts.scatter import Spot, scatter_chart
from tabloop.charts.text import number_text
from tabloop.report.page import Block, Figures, Listing, Text


def search_blocks(search: SearchReport, figures: SearchFigures, winner: str) -> list[Block]:
    """Show the trials of a search, the best settings, and what that means for the other figures."""
    rows = tuple(
        (
            each.candidate,
            "-" if each.value is None else number_text(each.value, 4),
            "as configured" if not each.settings else _words(each.settings),
            f"{each.trials:,}",
        )
        for each in search.found
    )
    table = Table(("candidate", f"{search.rank_by} of its best trial", "settings", "trials"), rows)
    return [
        Text(figures.describe(), is_note=True),
        Figures((search_chart(search, winner),)),
        Listing(table, f"Found by {search.sampler}, in {search.took_s:,.0f} s:"),
    ]


def search_chart(search: SearchReport, winner: str) -> Chart:
    """Draw every trial by its number and its figure, and the best so far."""
    shown = [(trial, value) for trial in search.trials if (value := _value(trial)) is not None]
    colours = candidate_colours(winner, tuple(each.candidate for each in search.found))
    spots = [
        Spot(
            f"trial {trial.number + 1}, {trial.candidate}, {trial.state}",
            (trial.number + 1.0,) * 3,
            (value,) * 3,
            colours[trial.candidate],
            filled=trial.state == "complete",
        )
        for trial, value in shown
    ]
    legend = [
        LegendEntry(each.candidate, colours[each.candidate], "circle") for each in search.found if each.trials
    ]
    if any(trial.state != "complete" for trial, _ in shown):
        legend.append(LegendEntry("not scored on all folds", "faint", "circle", filled=False))
    return scatter_chart(
        "The search, trial by trial",
        f"Mean {search.rank_by} over {search.folds} folds of the {search.search_rows:,} rows that the search "
        "saw; hollow trials were given up after fewer.",
        Axis("trial", "count"),
        Axis(f"{search.rank_by}, {search.folds} folds"),
        spots,
        legend=legend,
        height=260.0,
    )


def _value(trial: SearchTrial) -> float | None:
    return sum(trial.fold_values) / len(trial.fold_values) if trial.fold_values else None


def _words(settings: Settings) -> str:
    return ", ".join(
        f"{name}: {number_text(value) if isinstance(value, float) else value}"
        for name, value in settings.items()
    )
