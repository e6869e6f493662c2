"""A progress bar on a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from tabloop.progress import PoolState


class ProgressBar:
    """Draws what is going on to standard error, and wipes it off at the end; implements `Progress`."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[left]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: Any = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, text: str) -> None:
        """Begin a step."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(text, total=None, left="")

    def fraction(self, fraction: float) -> None:
        """Say how much of the step is done, where that is known."""
        self._bar.update(self._task, total=1.0, completed=fraction, left=f"{fraction:.0%}")

    def tasks(self, state: PoolState) -> None:
        """Say which tasks are running and how many are done."""
        if state.notice:
            self._bar.console.print(state.notice)
        self._bar.update(
            self._task,
            total=state.total or None,
            completed=state.done,
            description=state.describe(),
            left=(f"{state.done}/{state.total}" if state.total else f"{state.done} {state.unit}")
            + (f", {state.left()}" if state.left_s is not None else "")
            + (f"; {state.remark}" if state.remark else ""),
        )
