"""docs/troubleshooting.md knows every error, by texts that are in the source."""

from __future__ import annotations

import ast
import re

import pytest
from tests.conftest import ROOT

import tabloop.errors
from tabloop.deployment.problems import PROBLEMS
from tabloop.errors import TabloopError

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
KINDS = [
    name
    for name, kind in vars(tabloop.errors).items()
    if isinstance(kind, type) and issubclass(kind, TabloopError) and kind is not TabloopError
]
#: For what differs from case to case, in a text of the source.
VARIES = "\0"


def texts_of(section: str) -> list[str]:
    """The texts in the first column of the tables."""
    rows = re.findall(r"^\| (.*?) \| ", section, re.M)
    return [(a or b).strip() for row in rows for a, b in re.findall(r"``(.+?)``|`([^`]+)`", row)]


def written(node: ast.AST) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else VARIES
    if isinstance(node, ast.JoinedStr):
        return "".join(written(part) if isinstance(part, ast.Constant) else VARIES for part in node.values)
    if isinstance(node, ast.BinOp):
        return written(node.left) + VARIES + written(node.right)
    return VARIES


def source_texts() -> tuple[list[str], list[str]]:
    """Every text in the source, and those that an error is raised with."""
    texts, raised = [], []
    for path in (ROOT / "src" / "tabloop").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant | ast.JoinedStr):
                texts.append(written(node))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
                raised += [f"{path.name}:{node.lineno}: {written(each)}" for each in node.args[:1]]
    return texts, raised


def pieces(text: str) -> list[str]:
    return [piece.strip() for piece in text.split("…") if piece.strip()]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_error_has_an_entry(kind: str) -> None:
    section = re.search(rf"^### {kind}\n(.*?)(?=^##|\Z)", PAGE, re.S | re.M)
    assert section, f"docs/troubleshooting.md: add `### {kind}` with its texts, causes and mends"
    assert texts_of(section.group(1)), f"docs/troubleshooting.md: {kind}: no text that a reader could look up"


def test_the_texts_are_in_the_source() -> None:
    ours = PAGE.partition("## Usage")[2].partition("## From the operating system")[0]
    source = "\n".join(source_texts()[0])
    stale = [text for text in texts_of(ours) for piece in pieces(text) if piece not in source]
    assert not stale


def test_nearly_every_message_can_be_looked_up() -> None:
    """Those that consist of what another program said cannot."""
    patterns = [re.compile(".*".join(map(re.escape, pieces(text))), re.S) for text in texts_of(PAGE)]
    raised = [text for text in source_texts()[1] if re.search("[a-z]{3}", text.partition(": ")[2])]
    missing = [text for text in raised if not any(pattern.search(text) for pattern in patterns)]
    assert len(missing) <= len(raised) // 10, "\n".join(missing)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_each_problem_of_http_is_explained(problem: str) -> None:
    assert f"`{problem}`" in (ROOT / "docs" / "deployment.md").read_text()
