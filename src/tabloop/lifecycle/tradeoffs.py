"""Weigh quality, speed and size of what a benchmark measured."""

from __future__ import annotations

from tabloop.artifacts.documents.benchmark import BenchmarkReport
from tabloop.artifacts.documents.tradeoffs import TradeoffReport
from tabloop.artifacts.layout import TRADEOFFS, TRADEOFFS_PAGE, TRADEOFFS_PLOT, TRADEOFFS_TABLE
from tabloop.artifacts.reports import write_report, write_report_document
from tabloop.artifacts.run import RunFolder
from tabloop.optimization.tradeoffs.analysis import analyse_tradeoffs, tradeoff_table
from tabloop.optimization.tradeoffs.page import render_html
from tabloop.optimization.tradeoffs.plots import render_png


def tradeoffs_run(run: RunFolder, benchmark: BenchmarkReport) -> TradeoffReport:
    """Find the variants that no other beats, and write table, plots and page of `tradeoffs.*`."""
    tradeoffs = analyse_tradeoffs(benchmark)
    write_report_document(run, TRADEOFFS, tradeoffs)
    write_report(run, TRADEOFFS_TABLE, tradeoff_table(tradeoffs).encode())
    write_report(run, TRADEOFFS_PLOT, render_png(tradeoffs, benchmark))
    write_report(run, TRADEOFFS_PAGE, render_html(tradeoffs, benchmark).encode())
    return tradeoffs
