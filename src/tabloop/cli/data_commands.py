"""Commands about data and contracts: begin, check, synthesize, show, compare."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tabloop.cli.commands import Commands
from tabloop.cli.options import LocalPath, Settings, needs_extra, with_optional_settings, with_settings
from tabloop.cli.output import ProgressDisplay, reported, write_json, write_table

if TYPE_CHECKING:
    from tabloop.contract.contract import Contract


@click.command(
    epilog="Examples: tabloop init customers.csv --target churned --positive yes; tabloop init --demo"
)
@click.argument("file", metavar="[FILE]", required=False, type=LocalPath())
@click.option("--target", metavar="COL", help="The column to predict; it has two values.")
@click.option("--positive", metavar="VALUE", help="The value that counts as 1; by default the rarer one.")
@click.option(
    "--no-header", is_flag=True, help="The first line is a row; columns are column_1, column_2, ..."
)
@click.option("--demo", is_flag=True, help="Make a folder to play with instead; FILE is its name.")
@click.option("--force", is_flag=True, help="Replace a config.yaml that is there.")
@needs_extra("train")
@with_optional_settings
def init(
    settings: Settings,
    file: Path | None,
    target: str | None,
    positive: str | None,
    no_header: bool,
    demo: bool,
    force: bool,
) -> None:
    """Write a commented config.yaml for your own table, every guess marked.

    It asks nothing. What it guessed of the types, limits and categories of your columns, of ids, and of
    columns that give the target away, stands as a comment where it was guessed. The JSON schema is written
    beside it, for editors that complete and check YAML.

    --demo makes a folder (tabloop-demo, or FILE) with a small table, a config and a README to play with.
    """
    if demo:
        _init_demo(settings, file or Path("tabloop-demo"), force=force)
        return
    if file is None:
        raise click.UsageError(
            "which table? `tabloop init customers.csv --target churned` writes a config for yours, and "
            "`tabloop init --demo` makes one to play with"
        )
    from tabloop.artifacts.files import require_other_file, write_atomic
    from tabloop.config.json_schema import SCHEMA_FILE, schema_comment, schema_json
    from tabloop.config.loading import load_project, parse_project
    from tabloop.errors import ConfigError
    from tabloop.guessing.guess import infer_config

    if settings.config.exists() and not force:
        raise ConfigError(f"{settings.config}: is there already; --force replaces it, --config names another")
    schema_path = settings.config.with_name(SCHEMA_FILE)
    require_other_file(settings.config, file)
    require_other_file(schema_path, file)
    if target is None:
        from tabloop.guessing.guess import name_targets

        raise click.UsageError(
            f"which column is to be predicted? --target COL; {name_targets(file, header=not no_header)}"
        )
    guessed = infer_config(
        file,
        target=target,
        positive=positive,
        config_folder=settings.config.parent,
        header=not no_header,
    )
    text = schema_comment() + guessed.text
    parse_project(text, settings.config, overrides=settings.overrides)  # before anything is written
    write_atomic(settings.config, text.encode())
    write_atomic(schema_path, schema_json().encode())
    project = load_project(settings.config, overrides=settings.overrides)
    if settings.as_json:
        write_json(
            {"config": str(settings.config), "schema": str(schema_path),
             "rows_looked_at": guessed.rows, "guesses": list(guessed.guesses),
             "columns": {name: column.type for name, column in project.contract.columns.items()},
             "ignored": list(project.config.data.ignore)}
        )  # fmt: skip
        return
    click.echo(f"{settings.config}: {len(project.contract.columns)} columns from {guessed.rows:,} rows")
    for guess in guessed.guesses:
        click.echo(f"  guessed: {guess}")
    click.echo("read it, mend it, then: tabloop run")


def _init_demo(settings: Settings, folder: Path, *, force: bool) -> None:
    from tabloop.demo.demo import write_demo

    written = [str(path) for path in write_demo(folder, force=force)]
    if settings.as_json:
        write_json({"folder": str(folder), "written": written})
        return
    for path in written:
        click.echo(f"written: {path}")
    click.echo(f"now: cd {shlex.quote(str(folder))} && tabloop run    (README.md there says more)")


@click.group(cls=Commands)
def data() -> None:
    """Check a table, or make synthetic students."""


@data.command("check", epilog="Example: tabloop data check march.csv --quarantine refused.jsonl")
@click.argument("file", metavar="[INPUT]", required=False)
@click.option("--quarantine", type=LocalPath(), help="Write refused rows here, as JSON lines.")
@needs_extra("train")
@with_settings
def data_check(settings: Settings, file: str | None, quarantine: Path | None) -> None:
    """Check the configured source against the contract, row by row; or INPUT.

    INPUT is a CSV or Parquet file, or table:NAME for another table of the configured database.

    Exit code 2 when more rows are refused than data.max_quarantine_fraction allows.
    """
    from contextlib import nullcontext

    from tabloop.artifacts.files import open_atomic, require_other_file
    from tabloop.data.dataset import read_dataset, require_both_classes, require_quarantine_limit
    from tabloop.data.open_source import file_of, source_of_input

    project = settings.project()
    config, folder = project.config.data, project.folder
    if file is not None:
        config = config.model_copy(update={"source": source_of_input(config.source, file)})
        folder = Path() if not file.startswith("table:") else folder
    if quarantine is not None:
        require_other_file(quarantine, settings.config, *file_of(config.source, folder))
    with (
        ProgressDisplay() as progress,
        open_atomic(quarantine) if quarantine is not None else nullcontext() as quarantine_file,
    ):
        progress.step("reading the data")
        dataset = read_dataset(
            config,
            project.contract,
            folder,
            quarantine_file=quarantine_file,
            progress=progress.fraction,
            with_target=True if file is None else None,
        )
    report = {
        **dataset.identity,
        "sha256": dataset.sha256,
        "read": dataset.rows_read,
        "accepted": dataset.frame.height,
        "quarantined": dataset.quarantine.rows,
        "reasons": dataset.quarantine.reasons,
        "notes": list(dataset.notes),
    }
    if not settings.as_json:
        click.echo(
            f"{dataset.where}: {dataset.rows_read:,} rows read = {dataset.frame.height:,} accepted "
            f"+ {dataset.quarantine.rows:,} refused"
        )
        for note in dataset.notes:
            click.echo(f"  note: {note}")
        if dataset.quarantine.rows:
            click.echo(dataset.quarantine.describe())
    with reported(settings, report):
        require_quarantine_limit(dataset, config)
        if project.contract.target.name in dataset.frame.columns:
            require_both_classes(dataset, project.contract)


@data.command(
    "load", epilog="Example: tabloop data load march.csv --to env:SHOP_URL --table students --key id"
)
@click.argument("file", type=LocalPath())
@click.option(
    "--to", "to", metavar="URL", required=True, help="sqlite:///file.db, or env:NAME of a variable."
)
@click.option("--table", metavar="NAME", help="The table, or SCHEMA.TABLE; by default the file's name.")
@click.option(
    "--key", "key", metavar="COL", multiple=True, help="A column of the primary key; may be repeated."
)
@click.option("--replace", is_flag=True, help="Let a table of that name give way.")
@click.option("--quarantine", type=LocalPath(), help="Write refused rows here, as JSON lines.")
@needs_extra("train")
@with_settings
def data_load(
    settings: Settings,
    file: Path,
    to: str,
    table: str | None,
    key: tuple[str, ...],
    replace: bool,
    quarantine: Path | None,
) -> None:
    """Make a table from a checked file, its types from the contract; nobody sees half of it.

    Rows that the contract refuses are left out. When they are more than data.max_quarantine_fraction, there
    is no table, and exit code 2.
    """
    from contextlib import nullcontext

    from tabloop.artifacts.files import open_atomic, require_other_file
    from tabloop.data.load import load_table
    from tabloop.data.open_source import source_of_file
    from tabloop.data.sql.address import address_of_argument

    project = settings.project()
    address = address_of_argument(to, option="--to")
    config = project.config.data
    config = config.model_copy(update={"source": source_of_file(config.source, file)})
    if quarantine is not None:
        require_other_file(quarantine, file, settings.config)
    schema, _, name = (table or file.stem).rpartition(".") if table else ("", "", file.stem)
    with (
        ProgressDisplay() as progress,
        open_atomic(quarantine) if quarantine is not None else nullcontext() as quarantine_file,
    ):
        progress.step(f"loading {file}")
        report = load_table(
            config,
            project.contract,
            file,
            address,
            table=name,
            table_schema=schema or None,
            key=key,
            replace=replace,
            quarantine_file=quarantine_file,
            progress=progress.fraction,
        )
    described = {
        "path": str(file),
        "database": address.name,
        "table": table or name,
        "read": report.rows_read,
        "loaded": report.rows_loaded,
        "quarantined": report.quarantine.rows,
        "reasons": report.quarantine.reasons,
    }
    if settings.as_json:
        write_json(described)
        return
    click.echo(
        f"{report.where}: {report.rows_read:,} rows read = {report.rows_loaded:,} loaded "
        f"+ {report.quarantine.rows:,} refused"
    )
    if report.quarantine.rows:
        click.echo(report.quarantine.describe())


@data.command("synthesize", epilog="Example: tabloop data synthesize --rows 1000000 --output students.csv")
@click.option("--rows", type=click.IntRange(min=1), required=True, help="How many students.")
@click.option("--output", type=LocalPath(), required=True, help="A .csv or .parquet file.")
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), help="Fixes the students; by default the settings' `seed`."
)
@needs_extra("train")
@with_optional_settings
def data_synthesize(settings: Settings, rows: int, output: Path, seed: int | None) -> None:
    """Make synthetic students of an e-learning platform; the same seed makes the same students."""
    from tabloop.data.students import write_students

    if seed is not None:
        pass
    elif settings.config.exists() or settings.overrides or settings.config.name != "config.yaml":
        seed = settings.project().config.seed
    else:
        seed = 42
    with ProgressDisplay() as progress:
        progress.step(f"writing {output}")
        write_students(output, rows, seed, progress=lambda written: progress.fraction(written / rows))
    if settings.as_json:
        write_json({"path": str(output), "rows": rows, "seed": seed})
    else:
        click.echo(f"{output}: {rows:,} students, seed {seed}")


@click.group(cls=Commands)
def contract() -> None:
    """Show the contract, or compare two."""


@contract.command("show", epilog="Example: tabloop contract show --json-schema > row.schema.json")
@click.option("--json-schema", "as_schema", is_flag=True, help="As the JSON schema of one row.")
@with_settings
def contract_show(settings: Settings, as_schema: bool) -> None:
    """Show columns, rules and features."""
    from tabloop.contract.json_schema import json_schema

    shown = settings.project().contract
    if as_schema:
        click.echo(json.dumps(json_schema(shown), indent=2, ensure_ascii=False))
        return
    if settings.as_json:
        write_json(shown.to_dict(), {"sha256": shown.sha256})
        return
    rows = [[name, column.type, "yes" if column.nullable else "", column.describe_limits()]
            for name, column in shown.columns.items()]  # fmt: skip
    write_table(["column", "type", "nullable", "limits"], rows)
    for rule in shown.rules:
        click.echo(f"rule: {rule}")
    for name, formula in shown.features.items():
        click.echo(f"feature: {name} = {formula}")
    click.echo(f"target: {shown.target.name}, {shown.target.positive_text} counts as 1")


@contract.command("diff", epilog="Example: tabloop contract diff 20261123T2115 config.yaml")
@click.argument("first")
@click.argument("second")
@with_optional_settings
def contract_diff(settings: Settings, first: str, second: str) -> None:
    """Compare two contracts, each a config.yaml, a contract.json or a run.

    compatible: what was valid is valid. backfillable: the model sees something new that old rows can be
    given. breaking: rows or requests that were valid are no longer; exit code 1.
    """
    from tabloop.contract.contract_diff import diff_contracts

    found = diff_contracts(_contract_of(settings, first), _contract_of(settings, second))
    if settings.as_json:
        write_json({"severity": found.severity, "changes": [dict(c.__dict__) for c in found.changes]})
    else:
        for change in found.changes:
            click.echo(f"{change.severity:<13} {change.where}: {change.what}")
        click.echo(found.severity if found.changes else "compatible: no difference")
    if found.severity == "breaking":
        raise click.exceptions.Exit(1)


def _contract_of(settings: Settings, name: str) -> Contract:
    from tabloop.artifacts.store import RunStore
    from tabloop.config.loading import load_project
    from tabloop.contract.contract import Contract
    from tabloop.errors import ContractError

    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return load_project(path, environ={}).contract
    if path.is_file():
        try:
            return Contract.from_dict(json.loads(path.read_bytes()))
        except ValueError as error:
            raise ContractError(f"{path}: no contract: {error}") from error
    run = RunStore(settings.project().model_dir).get(name)
    return run.contract
