"""What a benchmark found as a table: one line for each variant and batch size."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

import msgspec

from tabloop.artifacts.documents.benchmark import BenchmarkReport, Figure

#: What stands in one cell; None leaves it empty.
Cell = str | bool | int | float | None


def benchmark_table(report: BenchmarkReport) -> str:
    """Write CSV, one line for each variant and batch size, and one for each variant that failed.

    A column is there when any variant has a value for it; a cell is empty where this one has none.
    """
    speedups = {(c.candidate, c.kind, c.batch_size): c for c in report.comparisons}
    lines = []
    for variant in report.variants:
        own = _cells(variant) | ({} if variant.quality is None else _cells(variant.quality))
        if not variant.timings:
            lines.append(own)
        for timing in variant.timings:
            line = own | _cells(timing)
            found = speedups.get((variant.candidate, variant.kind, timing.batch_size))
            if found is not None:
                line |= figure_cells("speedup", found.speedup) | {"cliffs_delta": found.cliffs_delta}
            lines.append(line)
    return csv_text(lines, first=("candidate", "kind", "is_winner", "batch_size"))


def figure_cells(name: str, figure: Figure) -> dict[str, Cell]:
    """Spread a figure over three columns: `p50_ms`, `p50_ms_low`, `p50_ms_high`."""
    return {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}


def csv_text(lines: Sequence[Mapping[str, Cell]], *, first: tuple[str, ...] = ()) -> str:
    r"""Write CSV with every column that any line has, those named first in front.

    Examples
    --------
    >>> csv_text([{"a": 1}, {"a": 2, "b": True}], first=("b",))
    'b,a\n,1\ntrue,2\n'
    """
    names = dict.fromkeys([*first, *(name for line in lines for name in line)])
    text = io.StringIO()
    writer = csv.DictWriter(text, list(names), restval="", lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({k: str(v).lower() if isinstance(v, bool) else v for k, v in line.items()})
    return text.getvalue()


def _cells(found: msgspec.Struct) -> dict[str, Cell]:
    """Spread what was measured of a struct over columns; other structs inside it are left out."""
    cells: dict[str, Cell] = {}
    for name in found.__struct_fields__:
        value = getattr(found, name)
        if isinstance(value, Figure):
            cells |= figure_cells(name, value)
        elif isinstance(value, str | bool | int | float):
            cells[name] = value
    return cells
