"""What `train` and `run` show while they work: a bar in a notebook or on a terminal, elsewhere nothing."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from html import escape
from types import TracebackType
from typing import Any, Self

from tabloop.progress import PoolState, Progress
from tabloop.progress_bar import ProgressBar


def shown(progress: bool | None) -> AbstractContextManager[Progress]:
    """Choose what shows the progress: by `progress`, or where it is None by where the code runs."""
    if progress is not False and _is_notebook():
        return NotebookBar()
    if progress or (progress is None and sys.stderr.isatty()):
        return ProgressBar()
    return Quiet()


def _is_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


class Quiet:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""

    def step(self, text: str) -> None:
        """Begin a step."""

    def fraction(self, fraction: float) -> None:
        """Say how much of the step is done."""

    def tasks(self, state: PoolState) -> None:
        """Say which tasks are running."""


class NotebookBar:
    """One line of a notebook's output that is written over, and empty at the end."""

    def __init__(self) -> None:
        from IPython import display

        shown: Any = display
        self._html: Any = shown.HTML
        self._output: Any = shown.display(self._html(""), display_id=True)
        self._shown = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._show("")

    def step(self, text: str) -> None:
        """Begin a step."""
        self._show(f"<progress></progress> {escape(text)}")
        self._doing = text

    def fraction(self, fraction: float) -> None:
        """Say how much of the step is done, where that is known."""
        self._show(f'<progress value="{fraction:.2f}"></progress> {escape(self._doing)}')

    def tasks(self, state: PoolState) -> None:
        """Say which tasks are running and how many are done."""
        self._show(
            f'<progress value="{state.done}" max="{state.total}"></progress> '
            f"{escape(state.describe())} ({state.done}/{state.total})"
        )

    def _show(self, html: str) -> None:
        if html != self._shown:
            self._shown = html
            self._output.update(self._html(html))
