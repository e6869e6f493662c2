"""When so many events are invalid that the fault is not theirs."""

from __future__ import annotations

from collections import deque
from itertools import repeat

from tabloop.config.streaming import StreamConfig
from tabloop.errors import InvalidEventsError

_WINDOW_EVENTS = 1_000


class InvalidLimit:
    """Counts invalid events among the latest, and in a row.

    Parameters
    ----------
    config : StreamConfig
        The settings that hold the limits.

    Examples
    --------
    >>> limit = InvalidLimit(StreamConfig(max_consecutive_invalid=2))
    >>> limit.note(valid=False), limit.note(valid=False), limit.note(valid=True)
    (None, None, None)
    >>> limit.note(valid=False), limit.note(valid=False)
    (None, None)
    >>> limit.note(valid=False)
    Traceback (most recent call last):
    tabloop.errors.InvalidEventsError: 3 invalid events in a row; stream.max_consecutive_invalid allows 2...
    """

    def __init__(self, config: StreamConfig) -> None:
        self._config = config
        self._latest: deque[bool] = deque(maxlen=_WINDOW_EVENTS)
        self._invalid = 0
        self._in_a_row = 0

    def note_valid(self, n_events: int) -> None:
        """Count events that are all valid, in one step where none of the window is not."""
        if self._invalid:
            for _ in range(n_events):
                self.note(valid=True)
        else:
            self._latest.extend(repeat(True, n_events))
            self._in_a_row = 0

    def note(self, *, valid: bool) -> None:
        """Count one event, in the order of arrival.

        Raises
        ------
        InvalidEventsError
            If it is one too many.

        Notes
        -----
        The fraction is of the whole window, also while that is not full yet: a stream that begins with an
        invalid event is not all invalid.
        """
        config = self._config
        if len(self._latest) == _WINDOW_EVENTS:
            self._invalid -= not self._latest[0]
        self._latest.append(valid)
        self._invalid += not valid
        self._in_a_row = 0 if valid else self._in_a_row + 1
        advice = "mend the producers or the contract, start again, then `tabloop stream replay`"
        if self._in_a_row > config.max_consecutive_invalid:
            raise InvalidEventsError(
                f"{self._in_a_row} invalid events in a row; stream.max_consecutive_invalid allows "
                f"{config.max_consecutive_invalid}; {advice}"
            )
        if self._invalid > config.max_invalid_fraction * _WINDOW_EVENTS:
            raise InvalidEventsError(
                f"{self._invalid} of the latest {_WINDOW_EVENTS} events are invalid; "
                f"stream.max_invalid_fraction allows {config.max_invalid_fraction:.2%}; {advice}"
            )
