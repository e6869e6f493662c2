from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tabloop.cli import main
from tabloop.errors import ConfigError


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tabloop", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def exit_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


@pytest.mark.parametrize("arguments", [[], ["data"], ["contract"], ["runz"], ["data", "synthesize"]])
def test_usage_is_printed_once(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(*arguments) == 2
    assert capsys.readouterr().err.count("Usage:") == 1


def test_a_full_folder_of_temporary_files_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def without_room(*_: object, **__: object) -> None:
        raise OSError("No space left on device (os error 28)")  # as Polars says it

    monkeypatch.setattr("tabloop.data.students.write_students", without_room)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    room = shutil.disk_usage(tmp_path)
    for free, is_named in ((0, True), (1 << 30, False)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: room._replace(free=free))
        assert exit_code("data", "synthesize", "--rows", "5", "--output", str(tmp_path / "a.csv")) == 2
        said = capsys.readouterr().err
        assert "No space left on device" in said
        assert (f"no room for temporary files in {tmp_path}" in said) == is_named


def test_the_module_is_the_command(tmp_path: Path) -> None:
    done = run(tmp_path, "--version")
    assert done.returncode == 0
    assert done.stdout.startswith("tabloop, version")


@pytest.mark.parametrize(
    "arguments",
    [["run"], ["train"], ["runs"], ["runs", "show"], ["serve"], ["stream"], ["stream", "replay"], ["config", "show"],
     ["score", "a.csv", "--output", "b.csv"], ["monitor"], ["retrain"], ["log", "verify"], ["data", "check"]],
)  # fmt: skip
def test_a_missing_config_is_said_before_anything_slow_is_imported(
    arguments: list[str], tmp_path: Path
) -> None:
    code = (
        "import sys\nfrom tabloop.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print(sorted({'polars', 'numpy', 'sklearn', 'pydantic', 'onnxruntime', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr == (
        "tabloop: config.yaml: no such file; `tabloop init FILE --target COL` writes one, "
        "--config PATH names another\n"
    )
    assert done.stdout == "[]\n"


def test_a_library_of_an_extra_that_is_missing_is_named_with_its_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'duckdb'", name="duckdb")

    monkeypatch.setattr("tabloop.data.students.write_students", fail)
    assert exit_code("data", "synthesize", "--rows", "2", "--output", "a.csv", "--seed", "1") == 2
    said = capsys.readouterr().err
    assert said == "tabloop: this needs duckdb, which is not installed: pip install 'tabloop[duckdb]'\n"


def test_a_missing_library_of_our_own_is_a_defect(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'numpy'", name="numpy")

    monkeypatch.setattr("tabloop.data.students.write_students", fail)
    assert exit_code("data", "synthesize", "--rows", "2", "--output", "a.csv", "--seed", "1") == 3
    assert "This is a defect" in capsys.readouterr().err


def test_apprise_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tabloop.config.alerts import AlertsConfig
    from tabloop.errors import MissingExtraError
    from tabloop.monitoring.alerts import Alerts

    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(MissingExtraError, match=r"alerts.apprise_env needs apprise.*tabloop\[apprise\]"):
        Alerts(AlertsConfig(apprise_env="CHAT"), tmp_path, environ={"CHAT": "json://a"})


def test_a_seed_makes_other_students(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, seed in (("a", ["--seed", "7"]), ("b", ["--seed", "7"]), ("c", ["--seed", "42"]), ("d", [])):
        assert exit_code("data", "synthesize", "--rows", "50", "--output", f"{name}.csv", *seed) == 0
    first, again, other, default = (pl.read_csv(f"{name}.csv") for name in "abcd")
    assert first.equals(again)
    assert not first.equals(other)
    assert other.equals(default)


def test_a_reader_that_goes_away_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "data: {source: {kind: csv, path: a.csv}, target: {name: bought}}\n"
        "contract: {columns: {days: {type: integer}}}\n"
    )
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "tabloop", "config", "show"],
            cwd=tmp_path, stdout=closed, stderr=subprocess.PIPE, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_wrong_settings_of_every_kind_are_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = "data: {source: {kind: csv, path: a.csv}, target: {name: bought}}\ncontract: {columns: {a: {type: integer}}}\n"
    for text in (
        "[" * 3000, "!!bool x", "data: !!set {a}", "? {a: 1}\n: 2", "\0", "a: \ud7ff", "- 1", "5", "{a: 1}: 2",
        small + "seed: 0x", small + "seed: 9" * 1, small + "training: !!binary 'x'", small + "cv: !!timestamp 2024-01-01",
    ):  # fmt: skip
        (tmp_path / "config.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
        code = exit_code("config", "show")
        assert code == (0 if text.endswith("seed: 9") else 2), (text[:40], capsys.readouterr().err)
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe\x00")
    assert exit_code("config", "show") == 2
    (tmp_path / "config.yaml").unlink()
    (tmp_path / "config.yaml").mkdir()
    assert exit_code("config", "show") == 2
    assert issubclass(ConfigError, ValueError)
