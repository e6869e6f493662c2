"""What is read takes bounded memory and disk, whatever the file: measured on real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = """
data:
  source: {kind: csv, path: table.csv}
  target: {name: y}
  limits: {quarantine_rows: 2000}
contract:
  columns:
    x: {type: number}
"""

CHECK = """
import sys
from tabloop.cli.main import _run
from tabloop.data import quarantine
quarantine.MOST_BYTES = 150_000
code = _run(["data", "check", "--quarantine", "refused.jsonl", "--json"], True)
status = open("/proc/self/status").read()
print(status.split("VmHWM:")[1].split()[0], file=sys.stderr)
sys.exit(code)
"""

MB = 1 << 20


def check(folder: Path, content: bytes) -> tuple[dict[str, object], int]:
    """Run `data check`; give its report and the most memory that it held, in bytes."""
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "table.csv").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", CHECK], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 2), done.stderr
    return json.loads(done.stdout), int(done.stderr.split()[-1]) * 1024


@pytest.mark.parametrize("quote", ["", pytest.param('"', marks=pytest.mark.soak)])
def test_a_field_of_200_mb_is_one_refused_row(tmp_path: Path, quote: str) -> None:
    field = quote.encode() + b"2" * (200 * MB) + quote.encode()
    report, memory_bytes = check(tmp_path, b"x,y\n1,1\n" + field + b",0\n3,0\n")
    assert (report["read"], report["accepted"], report["reasons"]) == (3, 2, {"(row): length": 1})
    assert memory_bytes < 220 * MB
    (refused,) = (tmp_path / "refused.jsonl").read_text().splitlines()
    assert len(refused) < 1000


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1\n", "(row): fields"),
        (b"a,1\n", "x: type"),
        pytest.param(b'"a,1\n', "(row): quotes", marks=pytest.mark.soak),
    ],
)
def test_short_lines_fill_neither_memory_nor_disk(tmp_path: Path, line: bytes, reason: str) -> None:
    n_lines = 2 * MB // len(line)
    report, memory_bytes = check(tmp_path, b"x,y\n" + line * n_lines)
    assert (report["read"], report["quarantined"], report["reasons"]) == (n_lines, n_lines, {reason: n_lines})
    assert memory_bytes < 400 * MB
    refused = (tmp_path / "refused.jsonl").read_text().splitlines()
    assert len(refused) <= 2000
    assert (tmp_path / "refused.jsonl").stat().st_size <= 150_000
    assert json.loads(refused[0])["line"] == 2
    error = report["error"]
    assert isinstance(error, dict)
    assert f"the first {len(refused):,} of them are written down; data.limits" in error["message"]


def test_a_quote_that_never_closes_is_not_looked_for_for_ever(tmp_path: Path) -> None:
    report, memory_bytes = check(tmp_path, b'x,y\n1,1\n"2,0\n' + b"3,0\n" * MB)
    assert (report["quarantined"], report["reasons"]) == (1, {"(row): quotes": 1})
    assert memory_bytes < 500 * MB


def test_100_000_columns_are_refused_at_the_header(tmp_path: Path) -> None:
    header = ",".join(f"c{place}" for place in range(100_000)).encode()
    report, memory_bytes = check(tmp_path, header + b"\n" + b"1," * 99_999 + b"1\n")
    assert isinstance(report["error"], dict)
    assert "100,000 fields; data.limits.columns allows 10,000" in report["error"]["message"]
    assert memory_bytes < 220 * MB
