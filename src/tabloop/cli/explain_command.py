"""`tabloop explain`: what each column contributed to single answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tabloop.cli.options import LocalPath, Settings, needs_extra, with_settings
from tabloop.cli.output import ProgressDisplay, write_json

if TYPE_CHECKING:
    from tabloop.scoring.explained import ExplainedRows

_SHOWN_ROWS = 5


@click.command(epilog="Example: tabloop explain customers.csv --rows 3")
@click.argument("source", metavar="[INPUT]", required=False)
@click.option("--rows", "n_rows", type=click.IntRange(min=1), metavar="N",
              help=f"The first N rows; by default {_SHOWN_ROWS}, with --output all.")  # fmt: skip
@click.option("--most", type=click.IntRange(min=1), default=3, show_default=True,
              help="How many columns to name of each row.")  # fmt: skip
@click.option("--output", type=LocalPath(dir_okay=False), help="A .csv or .parquet file for all columns.")
@click.option("--run", "run_id", metavar="RUN", help="A run that has passed; by default the champion.")
@needs_extra("monitor")
@with_settings
def explain(
    settings: Settings,
    source: str | None,
    n_rows: int | None,
    most: int,
    output: Path | None,
    run_id: str | None,
) -> None:
    """Say of each row which columns made its probability what it is.

    INPUT is a CSV or Parquet file, or table:NAME for a table of the configured database; left out, it is
    the configured source. A contribution is a Shapley value against 100 training rows, in log-odds for
    boosted and linear models, else in probability; base and contributions add up to what the model gave.
    """
    from tabloop.scoring.explained import explain_source
    from tabloop.scoring.tables import require_output_file, write_frame

    if output is not None:
        require_output_file(output)
    elif n_rows is None:
        n_rows = _SHOWN_ROWS
    with ProgressDisplay() as progress:
        progress.step("explaining")
        found = explain_source(settings.project(), run_id, source, n_rows, progress=progress.fraction)
    if output is not None:
        write_frame(found.as_frame(), output)
    if settings.as_json:
        write_json(_described(found, output))
        return
    refused = f"; {found.quarantine.rows:,} refused rows are left out" if found.quarantine.rows else ""
    unit = found.contributions.unit.replace("_", "-")
    if output is not None:
        click.echo(f"{output}: {len(found.row_numbers):,} rows explained in {unit}{refused}")
        return
    click.echo(f"run {found.service.run_id}: base {found.contributions.base:+.4f} in {unit}{refused}")
    for row, number in enumerate(found.row_numbers.tolist()):
        _write_row(found, row, number, most)


def _write_row(found: ExplainedRows, row: int, number: int, most: int) -> None:
    probability = float(found.probability[row])
    decision = int(probability >= found.service.threshold)
    contract = found.service.contract
    click.echo(f"\nrow {number}: {contract.decision_name} {decision}, probability {probability:.4f}")
    reasons = found.reasons(row, most)
    width = max(len(name) for name, _, _ in reasons)
    for name, value, share in reasons:
        said = "null" if value is None else str(value)
        click.echo(f"  {share:+.4f}  {name:<{width}}  {said[:60]}")
    rest = float(found.contributions.values[row].sum()) - sum(share for _, _, share in reasons)
    others = len(found.contributions.columns) - len(reasons)
    if others:
        click.echo(f"  {rest:+.4f}  {others} other columns together")
    error = float(found.contributions.standard_error[row])
    if error:
        click.echo(f"  sampled: the standard error of a contribution is at most {error:.4f}")


def _described(found: ExplainedRows, output: Path | None) -> dict[str, Any]:
    contributions = found.contributions
    rows = [] if output is not None else [
        {
            "row": number,
            "probability": float(found.probability[row]),
            "decision": int(found.probability[row] >= found.service.threshold),
            "contributions": dict(
                zip(contributions.columns, contributions.values[row].tolist(), strict=True)
            ),
            "standard_error": float(contributions.standard_error[row]),
        }
        for row, number in enumerate(found.row_numbers.tolist())
    ]  # fmt: skip
    return {
        "run_id": found.service.run_id,
        "unit": contributions.unit,
        "base": contributions.base,
        "explained": len(found.row_numbers),
        "quarantined": found.quarantine.rows,
        "reasons": found.quarantine.reasons,
        "output": output,
        "rows": rows,
    }
