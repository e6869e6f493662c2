"""What one writer of the live file wrote without a break: whoever follows the log need not read its own."""

from __future__ import annotations

from typing import NamedTuple


class WrittenRange(NamedTuple):
    """A stretch of a file that one writer wrote without a break.

    Attributes
    ----------
    file : tuple of int
        Device and inode of the file.
    start, end : int
        Where the stretch begins, and where it ends.
    """

    file: tuple[int, int]
    start: int
    end: int
