"""What is known of a value stands in its type."""

from __future__ import annotations

from tests.conftest import ROOT

#: Lines that may hold JSON of any kind: raw YAML, the evidence of a gate, keyword arguments, foreign bodies.
#: It only ever shrinks: what has known fields is a frozen dataclass or a struct.
MOST_OPEN_LINES = 74


def test_few_lines_hold_json_of_any_kind() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / "src").rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "dict[str, Any]" in line
    ]
    assert len(found) <= MOST_OPEN_LINES, "\n".join(found)
