"""What a person or a script sees: JSON on standard output, progress on standard error."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from tabloop.cli.options import Settings
from tabloop.errors import TabloopError
from tabloop.progress import Pace, describe_left

if TYPE_CHECKING:
    from tabloop.artifacts.run import RunFolder
    from tabloop.config.loading import Project
    from tabloop.progress import PoolState
    from tabloop.progress_bar import ProgressBar
    from tabloop.publishing.report import PublishReport


def write_json(*parts: object) -> None:
    """Print one JSON object, of what all the parts hold: structs, dataclasses or mappings."""
    click.echo(json.dumps(_joined(parts), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False))


def _joined(parts: Iterable[object]) -> dict[str, Any]:
    from tabloop.artifacts.documents.document import json_values

    return {name: value for part in parts for name, value in json_values(part).items()}


@contextlib.contextmanager
def reported(settings: Settings, *parts: object) -> Iterator[None]:
    """Give a script one JSON object: the report alone, or with the error of the check in the block."""
    try:
        yield
    except TabloopError as error:
        error.report = _joined(parts)
        raise
    if settings.as_json:
        write_json(*parts)


def publish_made(project: Project, run: RunFolder) -> PublishReport | None:
    """Publish a run where the config wants it; a server that is down is reported, and nothing fails."""
    from tabloop.publishing.follow import publish_as_configured

    return publish_as_configured(project, run, lambda text: click.echo(f"tabloop: {text}", err=True))


def write_table(headers: list[str], rows: list[list[str]]) -> None:
    """Print columns, numbers to the right."""
    widths = [max(len(str(row[i])) for row in [headers, *rows]) for i in range(len(headers))]
    for row in [headers, *rows]:
        cells = [
            cell.rjust(width) if i and _is_number(rows[0][i] if rows else "") else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


def _is_number(text: str) -> bool:
    return bool(text) and text[0] in "0123456789.+-" and not text[:1].isalpha()


@contextlib.contextmanager
def standard_output_reserved() -> Iterator[None]:
    """Send to standard error whatever prints in the block, in this process or one that it starts.

    Libraries print what they like, some of them from native code, and standard output is for our results.
    """
    sys.stdout.flush()
    try:
        kept = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # standard output or standard error is closed
        kept = None
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)


class ProgressDisplay:
    """Progress on standard error: a bar on a terminal, elsewhere a line every 30 s.

    Use as a context manager; it implements `tabloop.progress.Progress`. While it is open nothing but it
    reaches standard output or the bar: see `standard_output_reserved`.

    Parameters
    ----------
    line_every_s : float, default=30.0
        Seconds between two lines where there is no terminal.
    """

    def __init__(self, *, line_every_s: float = 30.0) -> None:
        self._bar: ProgressBar | None = None
        self._line_every_s = line_every_s
        self._doing = "starting"
        self._left = ""
        self._pace = Pace()
        self._ended = threading.Event()
        self._teller = threading.Thread(target=self._tell, name="progress", daemon=True)
        self._reserved = standard_output_reserved()

    def _tell(self) -> None:
        """Write what is going on, and what is left, line by line until the end."""
        begun = time.monotonic()
        while not self._ended.wait(self._line_every_s):
            took = f"{time.monotonic() - begun:.0f} s"
            print(f"tabloop: {took}: {self._doing}{self._left}", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        self._reserved.__enter__()
        if sys.stderr.isatty():
            from tabloop.progress_bar import ProgressBar

            self._bar = ProgressBar()
            self._bar.__enter__()
        else:
            self._teller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)
        else:
            self._ended.set()
            self._teller.join()
        self._reserved.__exit__(kind, error, trace)

    def step(self, text: str) -> None:
        """Begin a step."""
        self._doing, self._left = text, ""
        if self._bar is not None:
            self._bar.step(text)

    def fraction(self, fraction: float) -> None:
        """Say how much of the step is done, where that is known."""
        left_s = self._pace.left_s(fraction, time.monotonic())
        self._left = f", {fraction:.0%} done" + ("" if left_s is None else f", {describe_left(left_s)}")
        if self._bar is not None:
            self._bar.fraction(fraction)

    def tasks(self, state: PoolState) -> None:
        """Say which tasks are running and how many are done."""
        self._doing = state.describe()
        left = state.left()
        self._left = f"; {state.progress()}"
        if self._bar is None and state.notice:
            print(f"tabloop: {state.notice}", file=sys.stderr, flush=True)
        # the plan is told before the first fit, not with the first line half a minute later
        if self._bar is None and state.done == 0 and left and state.unit == "tasks":
            print(f"tabloop: training {state.total} tasks, {left}", file=sys.stderr, flush=True)
        if self._bar is not None:
            self._bar.tasks(state)
