from __future__ import annotations

from pathlib import Path

import pytest

from tabloop.artifacts.run_notes import NoteBook
from tabloop.errors import DataError


def test_a_line_that_a_crash_cut_spoils_only_itself(tmp_path: Path) -> None:
    book = NoteBook(tmp_path)
    book.note("r", "first")
    with book.path.open("ab") as file:
        file.write(b'{"run_id": "r", "no')
    book.note("r", "second")
    assert book.read()["r"].notes == ("first", "second")


@pytest.mark.parametrize("tags", [[], ["9lives"], ["a b"], ["x" * 65], ["<b>"]])
def test_what_is_no_tag_is_refused_and_nothing_is_written(tmp_path: Path, tags: list[str]) -> None:
    book = NoteBook(tmp_path)
    with pytest.raises(DataError, match="tag: got"):
        book.tag("r", ["fine", *tags] if tags else [])
    assert not book.path.exists()


@pytest.mark.parametrize("text", ["", "  \n", "x" * 2001])
def test_a_note_has_a_length(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="note: got"):
        NoteBook(tmp_path).note("r", text)
