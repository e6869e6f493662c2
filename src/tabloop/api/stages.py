"""`init`, `train` and `run`: what the commands of these names do, on a frame or a file."""

from __future__ import annotations

from pathlib import Path

from tabloop.api.frames import THE_FRAME, FrameKind, Table, is_path, read_frame
from tabloop.api.progress import shown
from tabloop.api.project_config import ProjectConfig
from tabloop.api.run import Run
from tabloop.api.run_stages import publish_made
from tabloop.api.settings_in_force import MARK
from tabloop.artifacts.datasets import DatasetStore
from tabloop.artifacts.files import write_atomic
from tabloop.artifacts.run import RunFolder
from tabloop.config.data import ParquetSource, Source
from tabloop.config.loading import Project as Settings
from tabloop.config.loading import parse_project
from tabloop.contract.checks.table import require_columns
from tabloop.data.open_source import source_of_file
from tabloop.errors import ConfigError


def init(data: Table, *, target: str, positive: object = None, header: bool = True) -> ProjectConfig:
    """Guess a config for a table: types, ranges, categories, what is an id or a leak; every guess is told.

    Parameters
    ----------
    data : pandas, Polars or Arrow frame, or path
        The table; a path is that of a CSV or Parquet file.
    target : str
        The column to predict, with two values.
    positive : object, optional
        The value that counts as 1; by default 1, true or yes, else the rarer one.
    header : bool, default=True
        Whether the first line of a text file names the columns; otherwise they are column_1, column_2, ...

    Returns
    -------
    config : ProjectConfig
        The configuration, to look at, to edit, to write to a file and to train with.

    Raises
    ------
    DataError
        If the table cannot be read, or the target is not there or has not two values.

    Examples
    --------
    >>> import polars as pl
    >>> frame = pl.DataFrame({"minutes": [3.5, 0, 12, 7], "country": ["DE", "US", "US", "DE"],
    ...                       "bought": ["yes", "no", "yes", "no"]})
    >>> config = init(frame, target="bought")
    >>> list(config.contract.columns)
    ['minutes', 'country']
    """
    from tabloop.guessing.guess import infer_config, infer_config_of_frame

    wanted = None if positive is None else str(positive)
    if is_path(data):
        guessed = infer_config(
            Path(data), target=target, positive=wanted, config_folder=Path.cwd(), header=header
        )
    else:
        guessed = infer_config_of_frame(read_frame(data).rows, target=target, positive=wanted)
    return ProjectConfig(guessed.text, guessed.guesses)


def train(
    data: Table = None,
    config: ProjectConfig | str | Path = "config.yaml",
    *,
    folder: str | Path = "artifacts",
    progress: bool | None = None,
) -> Run:
    """Open a run: read the rows, compare the candidates, calibrate the threshold.

    The run stays open: nothing is exported, judged or released; `run` does all of it.

    Parameters
    ----------
    data : pandas, Polars or Arrow frame, or path, optional
        The rows, with the target. The contract's columns of a frame are kept in `folder`, so that the run can
        be reproduced; a file is read where it is. Left out, the config's `data.source` is read.
    config : ProjectConfig or path, default="config.yaml"
        What `init` gave, or a file.
    folder : path, default="artifacts"
        Where everything goes; nothing is written elsewhere. Its `config.yaml` is for the command line:
        `tabloop serve --config artifacts/config.yaml`.
    progress : bool, optional
        Whether to show it; by default in a notebook and on a terminal.

    Returns
    -------
    run : Run

    Raises
    ------
    ConfigError
        If the config is wrong, or `folder` holds somebody else's `config.yaml`.
    DataError
        If the columns are not the contract's, or more rows are refused than the config allows; all problems
        in one message.
    TrainingError, InfeasibleError
        If every candidate fails, or the promise does where the config wants it kept.
    """
    from tabloop.lifecycle import train as stage

    settings, kind = _settings(data, config, Path(folder))
    with shown(progress) as watcher:
        opened, _ = stage.train(settings, watcher)
        publish_made(settings, opened)
    return Run(RunFolder(opened.path), kind, settings)


def run(
    data: Table = None,
    config: ProjectConfig | str | Path = "config.yaml",
    *,
    folder: str | Path = "artifacts",
    progress: bool | None = None,
    release: bool = True,
    allow_infeasible: bool = False,
) -> Run:
    """Do the whole job: train, export, quantize, check, measure, and go live if every gate holds.

    Parameters
    ----------
    data, config, folder, progress
        As for `train`.
    release : bool, default=True
        Whether to judge the run; otherwise it stays open for `run.release()`, as after `--no-release`.
    allow_infeasible : bool, default=False
        Let a run whose promise is infeasible replace a champion that keeps its promise.

    Returns
    -------
    run : Run
        Sealed, unless `release` is false. `run.released` tells whether every gate let it out, `run.gates`
        why or why not.

    Raises
    ------
    ConfigError, DataError, TrainingError, InfeasibleError
        As `train` does.
    ExportError, ParityError
        If there is no exact graph of the winner.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import polars as pl
    >>> minutes = [float(i) for i in range(400)]
    >>> frame = pl.DataFrame({"minutes": minutes, "bought": [int(i % 5 > 0 and i > 200) for i in range(400)]})
    >>> config = init(frame, target="bought")
    >>> config.update({"training.candidates": {"decision_tree": {"max_depth": 3}}, "cv.n_splits": 2,
    ...                "benchmarking.in_run": "none", "release.load_test_s": 0.2})
    >>> with TemporaryDirectory() as folder:
    ...     done = run(frame, config, folder=folder)
    ...     decisions = done.model().decide(frame.head(1))
    ...     print(done.state, decisions.columns)
    passed ['predicted_bought_probability', 'predicted_bought']
    """
    from tabloop.lifecycle.run_all import run_all, run_open

    settings, kind = _settings(data, config, Path(folder))
    with shown(progress) as watcher:
        if release:
            made, _ = run_all(settings, watcher, allow_infeasible=allow_infeasible)
        else:
            made = run_open(settings, watcher)
        publish_made(settings, made)
    return Run(made, kind, settings)


def _settings(data: Table, config: ProjectConfig | str | Path, folder: Path) -> tuple[Settings, FrameKind]:
    """Settle where the rows are and where the artifacts go, and write the settings there."""
    if not isinstance(config, ProjectConfig | str | Path):
        raise ConfigError(f"got {type(config).__name__}, expected what tabloop.init gave, or a path")
    if not isinstance(config, ProjectConfig):
        config = ProjectConfig.read(config)
    written = folder / "config.yaml"
    if written.exists() and not written.read_text("utf-8", "replace").startswith(MARK):
        raise ConfigError(f"{written}: is there already and not of tabloop's train(); name another folder")
    source, kind = _source(data, config, folder)
    placed = config.placed(source, ".")
    text = MARK + placed.to_yaml()
    # what was handed in is meant, whatever the environment says of rows and folders
    meant = source.model_dump_json(exclude_unset=True)
    settings = parse_project(text, written, overrides=("artifacts.model_dir=.", f"data.source={meant}"))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(written, text.encode())
    return settings, kind


def _source(data: Table, config: ProjectConfig, folder: Path) -> tuple[Source, FrameKind]:
    source: Source = config.settings.data.source
    kind: FrameKind = "polars"
    if data is None:
        pass
    elif is_path(data):
        source = source_of_file(source, Path(data))
    else:
        given = read_frame(data)
        contract, kind = config.contract, given.kind
        require_columns(
            contract,
            given.rows.columns,
            with_target=True,
            ignored=config.settings.data.ignore,
            dtypes=given.rows.dtypes,
            where=THE_FRAME,
        )
        rows = given.rows.select(*contract.columns, contract.target.name)
        source = ParquetSource(kind="parquet", path=str(DatasetStore(folder).put(rows.write_parquet).path))
    if source.path is None:
        return source, kind
    path = Path(source.path).absolute()
    below = path.relative_to(folder.absolute()) if path.is_relative_to(folder.absolute()) else path
    return source.model_copy(update={"path": below.as_posix()}), kind
