"""The tests stand where a reader of the source looks for them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tests.conftest import ROOT

SOURCE, TESTS = ROOT / "src" / "tabloop", ROOT / "tests"
#: Of the whole, and of no room.
ABOUT_ALL = {"end_to_end", "properties", "repository"}
IN_ROOMS = sorted(
    path.relative_to(TESTS)
    for path in TESTS.rglob("*.py")
    if path.relative_to(TESTS).parts[0] not in ABOUT_ALL
)


@pytest.mark.parametrize("folder", sorted({path.parent for path in IN_ROOMS} - {Path()}), ids=str)
def test_each_folder_is_a_room_of_the_source(folder: Path) -> None:
    assert (SOURCE / folder / "__init__.py").exists()


@pytest.mark.parametrize("path", [path for path in IN_ROOMS if path.name.startswith("test_")], ids=str)
def test_each_file_names_a_file_of_the_source_or_says_what_else_it_is_about(path: Path) -> None:
    tested = SOURCE / path.with_name(path.name.removeprefix("test_"))
    is_named = tested.exists() or tested.with_suffix("").is_dir()
    assert is_named or ast.get_docstring(ast.parse((TESTS / path).read_text()))
