"""The report of a run: the first screen for who decides, the detail for who checks."""

from __future__ import annotations

from tabloop import __version__
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.run_diff import compare_runs
from tabloop.report.comparison import comparison_section
from tabloop.report.explained import explanation_section, segments_section
from tabloop.report.first_screen import lead_of, summary_of, tiles_of, title_of, verdict_of
from tabloop.report.making import (
    candidates_section,
    contract_section,
    drift_section,
    gates_section,
    graphs_section,
    lineage_section,
)
from tabloop.report.page import Page, Section
from tabloop.report.quality import quality_section
from tabloop.report.rows import rows_section
from tabloop.report.run_documents import read_run_documents


def report_of_run(run: RunFolder, *, other: RunFolder | None = None) -> Page:
    """Put the report of a run together from its documents.

    Parameters
    ----------
    run : RunFolder
        A run whose training has finished.
    other : RunFolder, optional
        A run to put beside it.
    """
    documents = read_run_documents(run)
    beside: tuple[Section, ...] = ()
    if other is not None:
        beside = (comparison_section(documents, read_run_documents(other), compare_runs(run, other)),)
    verdict, tone = verdict_of(documents)
    return Page(
        title=title_of(documents),
        lead=lead_of(documents),
        verdict=verdict,
        tone=tone,
        tiles=tiles_of(documents),
        summary=summary_of(documents),
        sections=(
            *beside,
            quality_section(documents),
            explanation_section(documents),
            segments_section(documents),
            rows_section(documents),
            contract_section(documents),
            candidates_section(documents),
            graphs_section(documents),
            drift_section(documents),
            gates_section(documents),
            lineage_section(documents),
        ),
        made=f"Made by tabloop {__version__} from the documents of run {documents.run_id}.",
    )
