"""Where the files of a data set are scored: on the cores of this machine, or elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol

from tabloop.errors import DatabaseError, DataError
from tabloop.scoring.input_files import InputFile
from tabloop.scoring.input_scorer import FileOutcome, InputScorer, Told
from tabloop.scoring.manifest import Note

# While the cores score one file, the other is read, written or moved over the network
_FILES_AT_ONCE = 2


class Engine(Protocol):
    """Where files are scored."""

    def outcomes(
        self, work: Sequence[tuple[InputFile, Mapping[int, Note]]], told: Callable[[str, int, float], None]
    ) -> Iterator[tuple[InputFile, FileOutcome | str]]:
        """Score files, and give each with what became of it, or why it could not be scored.

        `told` hears of rows that were scored and of the fraction of a file that was read.
        """
        ...


class LocalEngine:
    """Scores on the cores of this machine, a few files at a time."""

    def __init__(self, scorer: InputScorer) -> None:
        self._scorer = scorer

    def outcomes(
        self, work: Sequence[tuple[InputFile, Mapping[int, Note]]], told: Callable[[str, int, float], None]
    ) -> Iterator[tuple[InputFile, FileOutcome | str]]:
        """Score files; an error that is not one file's ends all of them."""
        waiting = list(reversed(work))
        running: dict[Future[FileOutcome], InputFile] = {}
        with ThreadPoolExecutor(self._scorer.threads) as slices, ThreadPoolExecutor(_FILES_AT_ONCE) as files:
            try:
                while waiting or running:
                    while waiting and len(running) < _FILES_AT_ONCE:
                        each, notes = waiting.pop()
                        running[files.submit(self._scorer.score, each, notes, slices, _of(told, each))] = each
                    finished, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in finished:
                        each = running.pop(future)
                        try:
                            yield each, future.result()
                        except (DataError, DatabaseError) as error:
                            yield each, str(error)
            finally:
                self._scorer.stop.set()


def _of(told: Callable[[str, int, float], None], each: InputFile) -> Told:
    return lambda rows, fraction: told(each.name, rows, fraction)
