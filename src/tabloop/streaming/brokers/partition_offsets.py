"""How far one partition of a topic is worked off."""

from __future__ import annotations

from collections import deque


class PartitionOffsets:
    """Which events of one partition were pulled, and which of them are settled.

    Events are settled in any order; only when all before it are settled may an offset be committed.

    Examples
    --------
    >>> offsets = PartitionOffsets()
    >>> for offset in (5, 6, 7):
    ...     offsets.note_pulled(offset)
    >>> offsets.note_settled(6), offsets.note_settled(5), offsets.held
    (None, 7, 1)
    """

    def __init__(self) -> None:
        self._pulled: deque[int] = deque()
        self._settled: set[int] = set()

    @property
    def held(self) -> int:
        """Pulled and not settled."""
        return len(self._pulled) - len(self._settled)

    def note_pulled(self, offset: int) -> None:
        """Note an event."""
        self._pulled.append(offset)

    def note_settled(self, offset: int) -> int | None:
        """Note that an event is settled; give the offset to commit if that moves it."""
        self._settled.add(offset)
        commit = None
        while self._pulled and self._pulled[0] in self._settled:
            commit = self._pulled.popleft()
            self._settled.discard(commit)
        return None if commit is None else commit + 1
