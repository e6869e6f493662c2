from __future__ import annotations

import sys

import pytest

from tabloop.doctor import installation
from tabloop.doctor.installation import examine_installation


def test_an_extra_that_is_missing_is_a_note_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    found = {finding.subject: finding for finding in examine_installation()}
    duckdb = found["extra duckdb"]
    assert (duckdb.state, duckdb.found) == ("note", "not installed: duckdb")
    assert "pip install 'tabloop[duckdb]'" in duckdb.mend
    assert found["extra serve"].state == "ok"


def test_versions_that_do_not_fit_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        installation, "requires", lambda _: ["numpy>=99", "no-such-thing>=1", "nor-this>=1; extra == 'x'"]
    )
    blocks = {finding.found: finding.mend for finding in examine_installation() if finding.state == "blocks"}
    assert set(blocks.values()) == {"pip install --upgrade 'numpy>=99'", "pip install 'no-such-thing>=1'"}
    assert any("expected >=99" in found for found in blocks)


def test_a_python_of_another_version_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "_PYTHONS", ((4, 0), (4, 1)))
    python = next(iter(examine_installation()))
    assert (python.subject, python.state) == ("python", "blocks")
    assert python.mend.endswith("Python 4.0 to 4.1")
