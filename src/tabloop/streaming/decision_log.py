"""The prediction log as a consumer uses it: append what was decided, find what was decided before a crash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from tabloop.artifacts.prediction_log import PredictionLogWriter
from tabloop.artifacts.prediction_log_folder import LIVE_NAME, rotated_files, writers_held_off
from tabloop.artifacts.prediction_log_lines import CHECKSUM_BYTES, TIME_SLICE
from tabloop.artifacts.prediction_log_parts import LogPosition, open_live, open_rotated
from tabloop.artifacts.prediction_log_rows import RowDecoder
from tabloop.inference.record_type import Record
from tabloop.streaming.batch_decider import LoggedDecision

#: How far back an event is looked for: so many rows, and so long. Whoever dies between the log and the sink
#: leaves the event to others who take it over after `claim_after_s`; with nobody there, the log stands still.
LOOK_BACK_ROWS = 200_000
LOOK_BACK_S = 120.0


class PredictionLogBook:
    """Writes decisions into the prediction log and finds them again; threads may share it.

    Parameters
    ----------
    folder : pathlib.Path
        The artifact folder.
    writer : PredictionLogWriter
        Of the log in it.
    look_back_s : float, default=120
        How long ago an event that is delivered again may have been logged.
    """

    def __init__(
        self, folder: Path, writer: PredictionLogWriter, *, look_back_s: float = LOOK_BACK_S
    ) -> None:
        self._folder, self._writer = folder, writer
        self._look_back_s = look_back_s

    def append(
        self,
        records: Sequence[Record],
        probability: Sequence[float],
        label: Sequence[int],
        *,
        run_id: str,
        threshold: float,
        event_ids: Sequence[str],
    ) -> Sequence[str]:
        """Log decisions as safely as `prediction_log.durability` says; give their prediction ids."""
        appended = self._writer.append(
            records, probability, label, run_id=run_id, threshold=threshold, event_ids=event_ids
        )
        self._writer.wait_committed(appended.ticket)
        return appended.prediction_ids

    def find(self, event_ids: Sequence[str]) -> Mapping[str, LoggedDecision]:
        """Find which of these events were logged lately; the first line of an event counts."""
        wanted = {msgspec.json.encode(event_id) for event_id in event_ids}
        found: list[bytes] = []
        for lines in self._latest_chunks():
            # `..., "event_id":"x","crc32":"..."}`: the id is what stands last before the checksum
            found += [
                line for line in lines if line[:-CHECKSUM_BYTES].rpartition(b'"event_id":')[2] in wanted
            ]
        rows = RowDecoder(()).decode(
            sorted(found), LogPosition()
        )  # lines sort by prediction id, that is by time
        decisions: dict[str, LoggedDecision] = {}
        for place, event_id in enumerate(rows.event_id):
            if event_id is not None:
                decisions.setdefault(
                    event_id,
                    LoggedDecision(
                        rows.prediction_id[place],
                        rows.run_id[place],
                        rows.probability[place],
                        rows.label[place],
                    ),
                )
        return decisions

    def _latest_chunks(self) -> Iterator[list[bytes]]:
        """Read lines from the end of the log on, as far back as events are looked for."""
        moment = datetime.now(UTC) - timedelta(seconds=self._look_back_s)
        oldest = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
        seen = 0
        for lines in self._chunks_backwards():
            yield lines
            seen += len(lines)
            if seen >= LOOK_BACK_ROWS and lines[0][TIME_SLICE] < oldest:
                return

    def _chunks_backwards(self) -> Iterator[list[bytes]]:
        with writers_held_off(self._folder):
            rotated = rotated_files(self._folder)
            try:
                live = open_live(self._folder / LIVE_NAME)
            except FileNotFoundError:
                live = None
        if live is not None:
            try:
                for _, lines in live.chunks_backwards():
                    yield lines
            finally:
                live.close()
        for file in reversed(rotated):
            part = open_rotated(file)
            try:
                yield [line for lines in part.chunks() for line in lines]
            finally:
                part.close()
