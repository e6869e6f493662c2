"""How the cost of each stage grows with the rows: time, memory, and the exponent with its interval.

    python -m benchmarks.scaling --max-rows 1000000 --seconds 120 --charts docs/images

Sizes go up by about three, from 10,000 rows; a stage stops where the next size would take longer than
`--seconds` of processor time. Every stage has a process of its own, which does it on 2,000 rows first, so
that imports do not count. `fit NAME` is what training repeats: a candidate fitted on
four of five folds and scored on the fifth, on one thread. CPU time hardly depends on what else runs, wall
time does; exponents are of CPU time. They are slopes of a least squares line through the logarithms, with a
95% interval by Student's t; the last column is the slope between the two largest sizes alone, where fixed
costs weigh least.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
from scipy import stats

from benchmarks.scaling_stages import make_project, stages, write_inputs
from tabloop.charts.chart import Chart, to_png
from tabloop.charts.colours import Colour
from tabloop.charts.lines import Line, line_chart
from tabloop.charts.scale import Axis

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
WARM_ROWS = 2_000
#: What may grow faster: their fits are capped at some rows by `max_rows`.
CAPPED = ("fit svm", "fit k_neighbors")
LIMIT = 1.05


@dataclass(frozen=True)
class Point:
    """One stage on one number of rows."""

    stage: str
    rows: int
    cpu_s: float
    wall_s: float
    peak_mb: float


@dataclass(frozen=True)
class Growth:
    """How CPU time grows: `rows ** exponent`, with its interval, and between the two largest sizes."""

    exponent: float
    low: float
    high: float
    last: float


def growth_of(points: Sequence[Point]) -> Growth | None:
    """Fit the exponent; None of fewer than three sizes.

    Examples
    --------
    >>> found = growth_of([Point("score", 10**n, 2e-5 * 10**n, 0.0, 0.0) for n in (4, 5, 6)])
    >>> round(found.exponent, 6), round(found.last, 6)
    (1.0, 1.0)
    """
    if len(points) < 3:
        return None
    x, y = (np.log([getattr(point, name) for point in points]) for name in ("rows", "cpu_s"))
    line = stats.linregress(x, y)
    half = float(stats.t.ppf(0.975, len(points) - 2) * line.stderr)
    last = float((y[-1] - y[-2]) / (x[-1] - x[-2]))
    return Growth(float(line.slope), float(line.slope) - half, float(line.slope) + half, last)


def measure_all(names: Sequence[str], sizes: Sequence[int], seconds: float, folder: Path) -> list[Point]:
    """Measure stages, each size by size and as far as it goes in time."""
    if not (folder / "project").exists():
        make_project(folder / "project")
    folders = []
    for rows in (WARM_ROWS, *sizes):
        folders.append(folder / f"rows-{rows}")
        if not folders[-1].exists():
            made = folder / "made"
            shutil.rmtree(made, ignore_errors=True)
            shutil.copytree(folder / "project", made, symlinks=True)
            write_inputs(made, rows)
            made.rename(folders[-1])
    points = []
    for stage in names:
        with subprocess.Popen(
            [sys.executable, "-m", "benchmarks.scaling_stages", stage, str(seconds), *map(str, folders)],
            stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            for rows, line in zip(sizes, process.stdout, strict=False):
                point = Point(stage, rows, **json.loads(line))
                points.append(point)
                print(
                    f"{stage:<28}{rows:>12,}{point.cpu_s:>10.2f}{point.wall_s:>10.2f}{point.peak_mb:>10,.0f}",
                    flush=True,
                )
        if process.returncode:
            raise SystemExit(f"{stage} ended with {process.returncode}")
    return points


def chart_of(points: Sequence[Point]) -> Chart:
    """Draw CPU time a row by rows: a level line is linear growth."""
    names = list(dict.fromkeys(point.stage for point in points))
    lines: list[Line] = []
    for name in names:
        own = [point for point in points if point.stage == name]
        lines.append(
            Line(
                name,
                [point.rows for point in own],
                [point.cpu_s / point.rows * 1e6 for point in own],
                colour=cast("Colour", f"series-{len(lines) % 8 + 1}"),
                dashed=name in CAPPED,
                dots=True,
            )
        )
    return line_chart(
        "What a row costs",
        "CPU time a row of each stage by the number of rows; a level line is growth in proportion.",
        Axis("rows", "count", log=True),
        Axis("CPU time a row, microseconds", log=True),
        lines,
        height=420.0,
        width=560.0,
    )


def write_charts(points: Sequence[Point], folder: Path) -> None:
    """Write a picture of the fits, and one of the other stages."""
    for name, fits in (("growth-stages", False), ("growth-fits", True)):
        own = [point for point in points if point.stage.startswith("fit ") == fits]
        drawing = chart_of(own).drawing if own else None
        if drawing is not None:
            (folder / f"{name}.png").write_bytes(to_png(drawing))


def main() -> None:
    """Print the measurements and the exponents."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--max-rows", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=120.0, help="most CPU time of one measurement")
    parser.add_argument("--stages", nargs="+", default=list(stages()), choices=list(stages()))
    parser.add_argument("--charts", type=Path, help="a folder for growth-stages.png and growth-fits.png")
    parser.add_argument(
        "--inputs", type=Path, help="a folder that keeps what the stages read, for another time"
    )
    parser.add_argument("--json", type=Path, help="where to write every measurement")
    options = parser.parse_args()
    print(f"{'stage':<28}{'rows':>12}{'CPU, s':>10}{'wall, s':>10}{'MiB':>10}")
    with tempfile.TemporaryDirectory(prefix="tabloop-scaling-") as name:
        sizes = [rows for rows in SIZES if rows <= options.max_rows]
        points = measure_all(options.stages, sizes, options.seconds, options.inputs or Path(name))
    print(f"\n{'stage':<28}{'exponent':>10}{'95% interval':>18}{'last':>8}")
    for stage in options.stages:
        found = growth_of([point for point in points if point.stage == stage])
        if found is None:
            print(f"{stage:<28}{'too few sizes':>14}")
            continue
        words = "  above" if min(found.low, found.last) > LIMIT and stage not in CAPPED else ""
        print(
            f"{stage:<28}{found.exponent:>10.2f}{f'{found.low:.2f} to {found.high:.2f}':>18}"
            f"{found.last:>8.2f}{words}"
        )
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(point) for point in points], indent=1))
    if options.charts is not None:
        write_charts(points, options.charts)


if __name__ == "__main__":
    main()
