"""Prediction ids: UUIDs that sort by time and tell who wrote them, as which row."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import pack
from typing import NamedTuple

#: A tick is 1/4096 ms: 48 bits of Unix milliseconds, then 12 bits of their fraction.
TICKS_PER_MS = 4096

WRITER_BITS = 30
LARGEST_SEQUENCE = 2**32 - 1

#: An id without its last 8 characters, which are the sequence number.
PREFIX_CHARACTERS = 28

#: From so many ids on, one text for all is written and split.
_FEW = 16


class PredictionId(NamedTuple):
    """What an id says.

    Attributes
    ----------
    tick : int
        When it was given, in 1/4096 ms since 1970.
    writer : int
        The 30-bit random number of the writer that gave it.
    sequence : int
        Its number among the rows of that writer, from 1 without a gap.
    """

    tick: int
    writer: int
    sequence: int

    @property
    def time(self) -> datetime:
        """When the id was given, to the microsecond."""
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.tick * 1000 // TICKS_PER_MS)


def split_id(text: str) -> PredictionId:
    """Take an id apart, which is known to be one that a prediction log gave.

    Examples
    --------
    >>> split_id("01936f2a-1234-7800-8000-002a00000001")
    PredictionId(tick=7097290131195904, writer=42, sequence=1)
    """
    return PredictionId(
        int(text[0:8] + text[9:13] + text[15:18], 16),
        int(text[19:23] + text[24:28], 16) & (2**WRITER_BITS - 1),
        int(text[28:36], 16),
    )


def id_prefix(tick: int, writer: int) -> str:
    """Write the first 28 characters of an id; the sequence number as `%08x` follows.

    Examples
    --------
    >>> id_prefix(0, 0) + "00000001"
    '00000000-0000-7000-8000-000000000001'
    """
    # 48 bits of milliseconds, the version, 12 bits below a millisecond
    return f"{tick >> 28:08x}-{tick >> 12 & 0xFFFF:04x}-7{tick & 0xFFF:03x}-{_writer_text(writer)}"


def id_texts(prefix: str, first: int, n_ids: int) -> list[str]:
    """Write ids that follow each other, all with one prefix.

    Examples
    --------
    >>> id_texts(id_prefix(0, 0), 9, 2)
    ['00000000-0000-7000-8000-000000000009', '00000000-0000-7000-8000-00000000000a']
    """
    if n_ids < _FEW:
        return [f"{prefix}{number:08x}" for number in range(first, first + n_ids)]
    numbers = pack(f">{n_ids}I", *range(first, first + n_ids)).hex(" ", 4)
    return f"{prefix}{numbers.replace(' ', f' {prefix}')}".split(" ")


@lru_cache(maxsize=16)
def _writer_text(writer: int) -> str:
    below = f"{0b10 << WRITER_BITS | writer:08x}"  # the variant of RFC 9562, then the writer
    return f"{below[:4]}-{below[4:]}"


class PredictionIds:
    """The ids of one writer: strictly increasing, even when the clock goes back.

    Parameters
    ----------
    clock_ns : callable, optional
        The wall clock, nanoseconds since 1970.

    Notes
    -----
    The layout is that of UUID version 7 [1]_: 48 bits of Unix milliseconds, the version, 12 bits of
    the millisecond's fraction (method 3 of section 6.2), the variant, 30 random bits that name the
    writer, 32 bits that count its rows. Two writers share a number with probability
    ``n**2 / 2**31``; their ids still differ by their times.

    References
    ----------
    .. [1] K. Davis, B. Peabody, P. Leach, "Universally Unique IDentifiers (UUIDs)", RFC 9562, 2024.

    Examples
    --------
    >>> ids = PredictionIds()
    >>> first, second = ids.take(2), ids.take(1)
    >>> [split_id(each).sequence for each in first + second]
    [1, 2, 3]
    >>> first[0] < first[1] < second[0]
    True
    """

    def __init__(self, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._clock_ns = clock_ns
        self._tick = 0
        self.renew()

    def renew(self) -> None:
        """Begin again as another writer, for when it is unknown which numbers the log holds."""
        self.writer = secrets.randbits(WRITER_BITS)
        self.sequence = 0

    def begin(self, n_rows: int, after_tick: int = 0) -> tuple[str, int]:
        """Prepare the ids of a batch; its numbers are used up by `confirm` only.

        Parameters
        ----------
        n_rows : int
            Rows in the batch.
        after_tick : int, default=0
            The ids will be later than this.

        Returns
        -------
        prefix : str
            The first 28 characters of all of them.
        first : int
            The sequence number of the first.
        """
        if self.sequence + n_rows > LARGEST_SEQUENCE:
            self.renew()
        # always a new tick: the ids of a batch that failed are never given again
        now = self._clock_ns() * TICKS_PER_MS // 1_000_000
        self._tick = max(now, self._tick + 1, after_tick + 1)
        return id_prefix(self._tick, self.writer), self.sequence + 1

    def confirm(self, n_rows: int) -> None:
        """Use up the numbers of the batch that was begun last."""
        self.sequence += n_rows

    def take(self, n_rows: int) -> list[str]:
        """Give the next ids."""
        prefix, first = self.begin(n_rows)
        self.confirm(n_rows)
        return [f"{prefix}{sequence:08x}" for sequence in range(first, first + n_rows)]
