"""Commands of the optimization stage, and scoring: one stage of a run at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tabloop.artifacts.layout import BENCHMARK, EXPORT_REPORT, PARITY_REPORT, QUANTIZE_REPORT, TRADEOFFS_PAGE
from tabloop.cli.options import Settings, needs_extra, with_settings
from tabloop.cli.output import ProgressDisplay, publish_made, reported, write_json, write_table

if TYPE_CHECKING:
    from tabloop.artifacts.run import RunFolder
    from tabloop.config.config import Config
    from tabloop.data.run_data import RunData


def _open(
    settings: Settings, run_id: str | None, progress: ProgressDisplay
) -> tuple[RunFolder, RunData, Config]:
    """Find the run named (or the newest open one, or the champion) and read its rows."""
    from tabloop.artifacts.store import RunStore
    from tabloop.data.run_data import load_run_data

    project = settings.project()
    store = RunStore(project.model_dir)
    folder = store.get(run_id) if run_id else store.newest_open_or_champion()
    progress.step("reading the data")
    return folder, load_run_data(project, folder, progress.fraction), project.config


def _place(run: RunFolder, name: str) -> dict[str, str]:
    """Say where a report of a run is."""
    from tabloop.artifacts.reports import report_path

    return {"path": str(report_path(run, name))}


@click.command(epilog="Example: tabloop export")
@click.argument("run_id", metavar="[RUN]", required=False)
@needs_extra("train")
@with_settings
def export(settings: Settings, run_id: str | None) -> None:
    """Write model.onnx: raw columns in, probability out, everything inside the graph."""
    from tabloop.lifecycle.export import export_run

    with ProgressDisplay() as progress:
        folder, data, _ = _open(settings, run_id, progress)
        progress.step("exporting")
        report = export_run(folder, data, progress=progress.fraction)
    if settings.as_json:
        write_json({"run_id": folder.run_id}, report, _place(folder, EXPORT_REPORT))
        return
    for name in report.written:
        path = Path(_place(folder, name)["path"])
        click.echo(f"{path.stat().st_size:>12,} bytes  {path}")
    for name, reason in report.not_exported.items():
        click.echo(f"not exported: {name}: {reason}")


@click.command(epilog="Example: tabloop quantize --json")
@click.argument("run_id", metavar="[RUN]", required=False)
@needs_extra("train")
@with_settings
def quantize(settings: Settings, run_id: str | None) -> None:
    """Try INT8 on every exported model and say honestly what it brings."""
    from tabloop.lifecycle.quantize import quantize_run

    with ProgressDisplay() as progress:
        folder, data, config = _open(settings, run_id, progress)
        progress.step("quantizing")
        report = quantize_run(folder, data, config, progress=progress.fraction)
    if settings.as_json:
        write_json({"run_id": folder.run_id}, report, _place(folder, QUANTIZE_REPORT))
        return
    for name, model in report.models.items():
        click.echo(f"{name}: {model.status} ({model.technique}): {model.reason}")
    click.echo(f"served: {report.served}")
    click.echo(f"written: {_place(folder, QUANTIZE_REPORT)['path']}")


@click.command(epilog="Example: tabloop parity")
@click.argument("run_id", metavar="[RUN]", required=False)
@needs_extra("train")
@with_settings
def parity(settings: Settings, run_id: str | None) -> None:
    """Compare the served graph with the trained model; exit code 1 when it disagrees."""
    from tabloop.lifecycle.parity import parity_run, require_parity

    with ProgressDisplay() as progress:
        folder, data, config = _open(settings, run_id, progress)
        progress.step("checking parity")
        report = parity_run(folder, data, config)
    if not settings.as_json:
        click.echo(
            f"{report.model}: {report.samples:,} rows, max |Δp| {report.max_abs_diff}, mean "
            f"{report.mean_abs_diff}, {report.decision_flips} decisions flipped"
        )
        click.echo(f"written: {_place(folder, PARITY_REPORT)['path']}")
    with reported(settings, report, _place(folder, PARITY_REPORT)):
        require_parity(report)


@click.command(epilog="Example: tabloop benchmark --full")
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--full", is_flag=True, help="Every variant at every batch size; a few minutes.")
@needs_extra("train")
@with_settings
def benchmark(settings: Settings, run_id: str | None, full: bool) -> None:
    """Measure scikit-learn, ONNX and INT8 side by side, every figure with its interval."""
    from tabloop.lifecycle.benchmark import benchmark_run

    with ProgressDisplay() as progress:
        folder, data, config = _open(settings, run_id, progress)

        def told(done: int, total: int, text: str) -> None:
            progress.step(f"benchmarking {text}")
            progress.fraction(done / max(1, total))

        progress.step("benchmarking")
        report = benchmark_run(folder, data, config, full=full, progress=told)
    where = _place(folder, BENCHMARK)
    if settings.as_json:
        write_json(report, where)
        return
    rows = [
        [variant.candidate, variant.kind, str(timing.batch_size),
         *(_rounded(figure.value) for figure in (timing.p50_ms, timing.p99_ms, timing.samples_per_s))]
        for variant in report.variants
        for timing in variant.timings
    ]  # fmt: skip
    write_table(["candidate", "format", "batch", "p50, ms", "p99, ms", "rows/s"], rows)
    click.echo(f"written: {where['path']}")


def _rounded(value: float) -> str:
    return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


@click.command(epilog="Example: tabloop benchmark && tabloop tradeoffs")
@click.argument("run_id", metavar="[RUN]", required=False)
@needs_extra("train")
@with_settings
def tradeoffs(settings: Settings, run_id: str | None) -> None:
    """Find the variants that no other beats, with plots and an HTML page."""
    from tabloop.artifacts.store import RunStore
    from tabloop.lifecycle.benchmark import read_benchmark
    from tabloop.lifecycle.tradeoffs import tradeoffs_run

    store = RunStore(settings.project().model_dir)
    folder = store.get(run_id) if run_id else store.newest_open_or_champion()
    report = tradeoffs_run(folder, read_benchmark(folder))
    where = _place(folder, TRADEOFFS_PAGE)
    if settings.as_json:
        write_json(report, where)
        return
    for point in report.points:
        beaten = "; ".join(point.dominated_by)
        click.echo(
            f"{point.candidate} {point.kind}: " + (f"beaten by {beaten}" if beaten else "on the frontier")
        )
    click.echo(f"written: {where['path']}")


@click.command(epilog="Example: tabloop rollback")
@click.argument("run_id", metavar="[RUN]", required=False)
@with_settings
def rollback(settings: Settings, run_id: str | None) -> None:
    """Go back to the champion before this one (or to RUN), by the same atomic swap."""
    from tabloop.release.rollback import rollback

    project = settings.project()
    folder = rollback(project, run_id)
    published = publish_made(project, folder)
    if settings.as_json:
        write_json({"run_id": folder.run_id, "champion": True, "published": published})
    else:
        click.echo(f"champion: {folder.run_id}")
