"""Weigh quality, speed and size of what a benchmark measured."""

from __future__ import annotations

from tabloop.artifacts.files import json_bytes
from tabloop.artifacts.layout import TRADEOFFS, TRADEOFFS_PAGE, TRADEOFFS_PLOT, TRADEOFFS_TABLE
from tabloop.artifacts.reports import write_report
from tabloop.artifacts.run import RunFolder
from tabloop.optimization.benchmark.report import BenchmarkReport
from tabloop.optimization.tradeoffs.analysis import TradeoffReport, analyse_tradeoffs
from tabloop.optimization.tradeoffs.page import render_html
from tabloop.optimization.tradeoffs.plots import render_png


def tradeoffs_run(run: RunFolder, benchmark: BenchmarkReport) -> TradeoffReport:
    """Find the variants that no other beats, and write table, plots and page of `tradeoffs.*`."""
    tradeoffs = analyse_tradeoffs(benchmark)
    write_report(run, TRADEOFFS, json_bytes(tradeoffs.to_dict()))
    write_report(run, TRADEOFFS_TABLE, tradeoffs.to_csv().encode())
    write_report(run, TRADEOFFS_PLOT, render_png(tradeoffs, benchmark))
    write_report(run, TRADEOFFS_PAGE, render_html(tradeoffs, benchmark).encode())
    return tradeoffs
