"""The stages of a run, one at a time, as `Run` offers them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tabloop.api.progress import shown
from tabloop.artifacts.run import RunFolder
from tabloop.config.loading import Project as Settings
from tabloop.data.run_data import RunData, load_run_data
from tabloop.progress import Progress

if TYPE_CHECKING:
    import polars as pl

    from tabloop.artifacts.documents.benchmark import BenchmarkReport
    from tabloop.artifacts.documents.graphs import ExportReport, RunParity
    from tabloop.artifacts.documents.quantize import QuantizeReport
    from tabloop.artifacts.documents.tradeoffs import TradeoffReport
    from tabloop.lifecycle.reproduce import ReproductionReport
    from tabloop.release.release import ReleaseDecision
    from tabloop.scoring.data_set import DataSetReport
    from tabloop.scoring.tables import ScoringReport


@contextmanager
def _rows(
    settings: Settings, run: RunFolder, progress: bool | None, doing: str
) -> Iterator[tuple[RunData, Progress]]:
    """Read the rows of a run and say what is done with them."""
    with shown(progress) as watcher:
        watcher.step("reading the data")
        data = load_run_data(settings, run, watcher.fraction)
        watcher.step(doing)
        yield data, watcher


def rows(settings: Settings, run: RunFolder, part: Literal["train", "test"]) -> pl.DataFrame:
    """Read one part of a run's rows again, its hash checked; see `tabloop.data.run_data`."""
    split = load_run_data(settings, run).split
    return split.train if part == "train" else split.test


def export(settings: Settings, run: RunFolder, progress: bool | None) -> ExportReport:
    """Write `model.onnx`; see `tabloop.lifecycle.export`."""
    from tabloop.lifecycle.export import export_run

    with _rows(settings, run, progress, "exporting") as (data, _):
        return export_run(run, data)


def quantize(settings: Settings, run: RunFolder, progress: bool | None) -> QuantizeReport:
    """Try 8 bits; see `tabloop.lifecycle.quantize`."""
    from tabloop.lifecycle.quantize import quantize_run

    with _rows(settings, run, progress, "quantizing") as (data, _):
        return quantize_run(run, data, settings.config)


def parity(settings: Settings, run: RunFolder, progress: bool | None) -> RunParity:
    """Compare graph and pipeline; see `tabloop.lifecycle.parity`."""
    from tabloop.lifecycle.parity import parity_run

    with _rows(settings, run, progress, "checking parity") as (data, _):
        return parity_run(run, data, settings.config)


def benchmark(settings: Settings, run: RunFolder, progress: bool | None, *, full: bool) -> BenchmarkReport:
    """Measure the variants; see `tabloop.lifecycle.benchmark`."""
    from tabloop.lifecycle.benchmark import benchmark_run

    with _rows(settings, run, progress, "benchmarking") as (data, watcher):

        def told(done: int, total: int, text: str) -> None:
            watcher.step(f"benchmarking {text}")
            watcher.fraction(done / max(1, total))

        return benchmark_run(run, data, settings.config, full=full, progress=told)


def tradeoffs(run: RunFolder) -> TradeoffReport:
    """Weigh what was measured; see `tabloop.lifecycle.tradeoffs`."""
    from tabloop.lifecycle.benchmark import read_benchmark
    from tabloop.lifecycle.tradeoffs import tradeoffs_run

    return tradeoffs_run(run, read_benchmark(run))


def release(settings: Settings, run: RunFolder, *, dry_run: bool, allow_infeasible: bool) -> ReleaseDecision:
    """Judge, seal and promote; see `tabloop.release.release`."""
    from tabloop.release.release import release as judge
    from tabloop.retraining.challenger_gates import challenger_gates

    decision = judge(
        settings, run, challenger_gates=challenger_gates, allow_infeasible=allow_infeasible, dry_run=dry_run
    )
    if not dry_run:
        publish_made(settings, run)
    return decision


def calibrate(
    settings: Settings,
    run: RunFolder,
    business: Mapping[str, object],
    *,
    release_it: bool,
    allow_infeasible: bool,
    progress: bool | None,
) -> RunFolder:
    """Find another threshold; see `tabloop.lifecycle.calibrate`."""
    from pydantic import ValidationError

    from tabloop.config.business import BusinessConfig
    from tabloop.config.problems import describe_problems
    from tabloop.errors import ConfigError
    from tabloop.lifecycle.run_all import calibrate_all

    changed = settings.config.business.model_dump() | dict(business)
    try:
        section = BusinessConfig.model_validate(changed)
        config = settings.config.model_copy(update={"business": section})
    except ValidationError as error:
        raise ConfigError(describe_problems(error, "business", {})) from error
    with shown(progress) as watcher:
        made, _ = calibrate_all(
            Settings(config, settings.config_path),
            run,
            watcher,
            release_it=release_it,
            allow_infeasible=allow_infeasible,
        )
    publish_made(settings, made)
    return made


def publish_made(settings: Settings, run: RunFolder) -> None:
    """Publish a run where the config wants it; a server that is down is warned of and fails nothing."""
    from tabloop.publishing.follow import publish_as_configured

    publish_as_configured(settings, run, lambda text: warnings.warn(text, stacklevel=4))


def reproduce(
    settings: Settings, run: RunFolder, progress: bool | None, *, retrain: bool
) -> ReproductionReport:
    """Check every hash, and train again if asked to; see `tabloop.lifecycle.reproduce`."""
    from tabloop.lifecycle.reproduce import reproduce as check_again

    with shown(progress) as watcher:
        return check_again(settings, run, watcher, retrain=retrain)


def report(
    settings: Settings, folder: RunFolder, path: Path, other: RunFolder | None, progress: bool | None
) -> Path:
    """Write the report of a run into a file, in the format that its name ends with."""
    from tabloop.artifacts.files import write_atomic
    from tabloop.lifecycle.report import report_run
    from tabloop.report.file import report_bytes

    with shown(progress) as display:
        page = report_run(settings, folder, display, other=other)
        write_atomic(path, report_bytes(page, path.suffix.removeprefix(".").lower()))
    return path


def score(
    settings: Settings,
    run_id: str | None,
    source: str | Path | None,
    output: str | Path | None,
    n_reasons: int,
    progress: bool | None,
) -> ScoringReport | DataSetReport:
    """Score a file, a table or a data set; see `tabloop.scoring.job` and `tabloop.scoring.data_set`."""
    from tabloop.scoring.data_set import score_data_set
    from tabloop.scoring.job import is_folder
    from tabloop.scoring.job import score as score_input

    named = None if source is None else str(source)
    with shown(progress) as watcher:
        watcher.step("scoring")
        if output is not None and is_folder(str(output)):
            report = score_data_set(
                settings, run_id, named, str(output), n_reasons=n_reasons, progress=watcher.tasks
            )
            report.require_complete()
            return report
        job = score_input(
            settings,
            run_id,
            named,
            None if output is None else Path(output),
            n_reasons=n_reasons,
            progress=watcher.fraction,
        )
    job.require_written()
    return job.report
