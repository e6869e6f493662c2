"""Score what a person named: find the input, the place for the answers and the one for refused rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tabloop.artifacts.files import require_other_file
from tabloop.artifacts.store import RunStore
from tabloop.config.data import DataConfig
from tabloop.config.loading import Project
from tabloop.config.local_path import is_url
from tabloop.config.scoring import SqlSink
from tabloop.data.open_source import file_of, named_input
from tabloop.errors import ConfigError, DataError
from tabloop.explanation.row_explainer import row_explainer
from tabloop.inference.scoring_service import load_service
from tabloop.scoring.input_files import SUFFIXES, is_data_set
from tabloop.scoring.reasons import Reasons, reason_names
from tabloop.scoring.tables import (
    FileOutput,
    Output,
    ScoringReport,
    require_most_scored,
    require_output_file,
    score_rows,
)


def is_folder(output: str) -> bool:
    """Tell whether answers go into a folder rather than into one file.

    Raises
    ------
    DataError
        If the name is neither that of a file that is understood nor one of a folder.

    Examples
    --------
    >>> [is_folder(output) for output in ("scored.csv", "scored", "s3://bucket/scored", "v1.2/")]
    [False, True, True, True]
    """
    if is_url(output) or output.endswith("/") or Path(output).is_dir():
        return True
    if Path(output).suffix.lower() in SUFFIXES:
        return False
    if Path(output).suffix:
        raise DataError(
            f"{output}: expected a name that ends in .csv, .parquet or .pq for a file, or in / for a folder"
        )
    return True


@dataclass(frozen=True)
class ScoringJob:
    """What was scored, and where the answers are.

    Attributes
    ----------
    report : ScoringReport
        What became of the rows.
    where : str
        The output's name in messages.
    quarantine : pathlib.Path
        Refused rows, one JSON line each.
    output : Output
        What the answers were written to.
    config : DataConfig
        What was read, and how many of its rows may be refused.
    """

    report: ScoringReport
    where: str
    quarantine: Path
    output: Output
    config: DataConfig

    def require_written(self) -> None:
        """Raise `DataError` when answers are gone, or more rows were refused than the config allows."""
        self.output.require_all_written()
        require_most_scored(self.report, self.config)


def score(
    project: Project,
    run_id: str | None,
    source: str | None,
    output: Path | None,
    *,
    n_reasons: int = 0,
    progress: Callable[[float], None] | None = None,
) -> ScoringJob:
    """Score a file or table.

    Parameters
    ----------
    project : Project
        Every setting in force.
    run_id : str or None
        A run that has passed; None for the champion.
    source : str or None
        A file, or `table:NAME`; None for the configured source.
    output : pathlib.Path or None
        A .csv or .parquet file; None for the table of `scoring.sink`.
    n_reasons : int, default=0
        How many columns to name that spoke most for each decision; into files only.
    progress : callable, optional
        Told the fraction read.

    Raises
    ------
    ConfigError, DataError, DatabaseError
        If input or output cannot be what they are named as; see `score_rows`.
    """
    if output is not None and is_data_set(source):
        raise DataError(f"{output}: is one file, and {source} may be many; name a folder for the answers")
    config, folder = named_input(project.config.data, project.folder, source)
    names = reason_names(n_reasons)
    destination, quarantine, where = _destination(project, output, names)
    for written in (*([output] if output is not None else []), quarantine):
        require_other_file(written, project.config_path, *file_of(config.source, folder))
    store = RunStore(project.model_dir)
    run = store.get_or_champion(run_id)
    service = load_service(run)
    reasons = Reasons(row_explainer(run, service), names) if names else None
    extra_allowed = project.config.scoring.extra_columns == "pass"
    report = score_rows(
        service, config, folder, destination, quarantine,
        extra_allowed=extra_allowed, reasons=reasons, progress=progress,
    )  # fmt: skip
    return ScoringJob(report, where, quarantine, destination, config)


def _destination(project: Project, output: Path | None, reasons: tuple[str, ...]) -> tuple[Output, Path, str]:
    """Find where answers go, where refused rows go, and what to call the first."""
    if output is not None:
        require_output_file(output)
        return FileOutput(output, reasons), output.with_name(f"{output.name}.quarantine.jsonl"), str(output)
    sink = project.config.scoring.sink
    if not isinstance(sink, SqlSink):
        raise ConfigError(
            "scoring.sink: is not set; expected where answers go, such as "
            "{kind: sql, url_env: SCORES_URL, table: scores, key: [id]}"
        )
    from tabloop.data.sql.sink import TableOutput

    table = TableOutput(sink, project.folder)
    name = "".join(c if c.isalnum() or c in "._-" else "_" for c in sink.table)
    return table, Path(f"{name}.quarantine.jsonl"), table.where
