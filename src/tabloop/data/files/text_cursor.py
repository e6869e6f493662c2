"""A place in the text of a file, from which one looks ahead and goes on."""

from __future__ import annotations

from collections.abc import Iterator

from tabloop.data.files.text_lines import TextBlock

#: Fewer are read with the lines around them: handing them to Polars alone would cost more
LEAST_PLAIN_CHARACTERS = 1 << 16


class TextCursor:
    """A place in the text of a file.

    Attributes
    ----------
    number : int
        The number of the line that stands there.
    too_long : dict of int to int
        See `TextBlock`.
    """

    def __init__(self, blocks: Iterator[TextBlock]) -> None:
        self._blocks = blocks
        self._text = ""
        self._at = 0
        self.number = 1
        self.too_long: dict[int, int] = {}

    @property
    def left(self) -> int:
        """How many characters of the block follow."""
        return len(self._text) - self._at

    def fill(self) -> bool:
        """See to it that a line stands here; False at the end of the file."""
        if self._at == len(self._text):
            block = next(self._blocks, None)
            if block is None:
                return False
            self._text, self._at, self.too_long = block.text, 0, block.too_long
        return True

    def plain_characters(self) -> int:
        """How many characters stand before the line of the next quote."""
        quote = self._text.find('"', self._at)
        return self.left if quote < 0 else max(0, self._text.rfind("\n", self._at, quote) + 1 - self._at)

    def quoted_characters(self) -> int:
        """How many characters stand before the next lines that are worth reading without regard to quotes."""
        last = self._at
        while (quote := self._text.find('"', last)) >= 0 and quote - last < LEAST_PLAIN_CHARACTERS:
            last = quote + 1
        return self._text.index("\n", last - (last > self._at)) + 1 - self._at

    def text(self, characters: int) -> str:
        """Give what stands here."""
        return self._text[self._at : self._at + characters]

    def lines_left(self) -> int:
        """How many lines of the block follow."""
        return self._text.count("\n", self._at)

    def lines_beyond(self, characters: int) -> Iterator[str]:
        """Yield the lines after some characters, with their ends, into the next blocks; stay here."""
        place = self._at + characters
        while True:
            if place == len(self._text):
                block = next(self._blocks, None)
                if block is None:
                    return
                place -= self._at
                self._text, self._at = self._text[self._at :] + block.text, 0
                self.too_long = {**self.too_long, **block.too_long}
            end = self._text.index("\n", place) + 1
            yield self._text[place:end]
            place = end

    def skip(self, n_lines: int) -> None:
        """Go past some lines."""
        end = self._at
        for _ in range(n_lines):
            end = self._text.index("\n", end) + 1
        self._at, self.number = end, self.number + n_lines

    def advance(self, characters: int) -> None:
        """Go past whole lines."""
        end = self._at + characters
        self.number += self._text.count("\n", self._at, end)
        self._at = end
