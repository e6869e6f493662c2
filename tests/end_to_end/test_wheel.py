"""The built wheel, in environments that see what it asks for and nothing else, away from the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import urllib.request
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tabloop.data.students import write_students
from tests.conftest import ROOT, Workspace

RECORD = {
    "student_country": "US", "days_on_platform": 100, "minutes_watched": 180.0, "courses_started": 3,
    "practice_exams_started": 2, "practice_exams_passed": 1, "minutes_spent_on_exams": 40.0,
}  # fmt: skip

#: Every stage of a run, each with little to do.
QUICK = (
    "training.candidates={logistic_regression: {}}", "cv.n_splits=2", "release.load_test_s=0.1",
    "benchmarking.repeated_runs=3", "benchmarking.batch_size=16",
)  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


class Environment:
    """A virtual environment with the wheel and the installed packages that its metadata ask for."""

    def __init__(self, folder: Path, wheel: Path, *extras: str) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        scheme = {"base": str(folder), "platbase": str(folder)}
        self.packages = Path(sysconfig.get_path("purelib", "venv", vars=scheme))
        self.python = folder / "bin" / "python"
        with zipfile.ZipFile(wheel) as built:
            built.extractall(self.packages)
            (metadata,) = (name for name in built.namelist() if name.endswith(".dist-info/METADATA"))
            asked = message_from_bytes(built.read(metadata)).get_all("Requires-Dist", [])
        seen: set[tuple[str, str]] = set()
        self._link(map(str, asked), ("", *extras), seen)

    def _link(self, requirements: Iterator[str], extras: tuple[str, ...], seen: set[tuple[str, str]]) -> None:
        for text in requirements:
            requirement = Requirement(text)
            wanted = [
                e for e in extras if not requirement.marker or requirement.marker.evaluate({"extra": e})
            ]
            name = canonicalize_name(requirement.name)
            for extra in ("", *requirement.extras) if wanted else ():
                if (name, extra) in seen:
                    continue
                seen.add((name, extra))
                try:
                    found = distribution(name)
                except PackageNotFoundError as missing:
                    raise AssertionError(f"{name} is asked for and not installed") from missing
                self._take(found)
                self._link(iter(found.requires or []), (extra,), seen)

    def _take(self, found: Distribution) -> None:
        for top in {Path(file).parts[0] for file in found.files or []} - {"..", "__pycache__"}:
            link, target = self.packages / top, Path(str(found.locate_file(top)))
            if not link.exists() and target.exists():
                link.symlink_to(target)

    def run(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.python), "-I", "-m", "tabloop", *arguments],
            cwd=folder, capture_output=True, text=True, check=False, timeout=600, env=_clean(),
        )  # fmt: skip

    def has(self, library: str) -> bool:
        code = f"import importlib.util as u; raise SystemExit(u.find_spec({library!r}) is None)"
        return subprocess.run([str(self.python), "-I", "-c", code], check=False).returncode == 0


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TABLOOP_"))}


def ask(url: str, body: Any = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_the_wheel_holds_what_the_package_reads(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for needed in ("tabloop/py.typed", "tabloop/demo/config.yaml", "tabloop/demo/README.md"):
        assert needed in names
    pages = {name for name in names if name.startswith("tabloop/pages/text/")}
    assert pages == {f"tabloop/pages/text/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert not [name for name in names if name.startswith("tests/") or "__pycache__" in name]


def test_the_base_says_in_one_line_what_each_command_lacks(wheel: Path, tmp_path: Path) -> None:
    base = Environment(tmp_path / "env", wheel)
    for library in ("polars", "sklearn", "scipy", "onnx", "fastapi", "sqlalchemy"):
        assert not base.has(library), library
    work = tmp_path / "work"
    work.mkdir()
    for command, extra in (("run", "train"), ("serve", "serve"), ("monitor", "monitor"), ("init", "train")):
        done = base.run(work, command)
        assert done.returncode == 2, done.stderr
        (line,) = done.stderr.splitlines()
        assert line.endswith(f"not installed: pip install 'tabloop[{extra}]'")
    assert base.run(work, "--version").stdout.startswith("tabloop, version")
    assert base.run(work, "--help").returncode == 0
    page = base.run(work, "docs", "threshold")
    assert page.stdout == (ROOT / "docs" / "threshold.md").read_text()
    doctor = base.run(work, "doctor", "--json")
    assert doctor.returncode == 0, doctor.stdout
    schema = base.run(work, "config", "schema")
    assert json.loads(schema.stdout)["title"] == "tabloop config"


def test_serving_needs_the_http_stack_alone(wheel: Path, tmp_path: Path, trained_copy: Workspace) -> None:
    slim = Environment(tmp_path / "env", wheel, "serve")
    for library in ("polars", "sklearn", "scipy", "onnx", "joblib", "sqlalchemy"):
        assert not slim.has(library), library
    with subprocess.Popen(
        [str(slim.python), "-I", "-m", "tabloop", "serve", "--port", "0", "--json"],
        cwd=trained_copy.folder, env=_clean(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as service:  # fmt: skip
        try:
            assert service.stdout is not None
            said = ""
            for line in service.stdout:
                said += line
                if line == "}\n":
                    break
            url = json.loads(said)["url"]
            status, answer = ask(f"{url}/predict", RECORD)
            assert status == 200
            assert 0 <= answer["predicted_purchase_probability"] <= 1
            for path, body in (("/monitoring/drift", None), ("/feedback", {"outcomes": []})):
                status, answer = ask(f"{url}{path}", body)
                assert status == 503
                assert answer["detail"].endswith("pip install 'tabloop[monitor]'")
            assert ask(f"{url}/health")[1]["status"] == "ok"
        finally:
            service.terminate()
            err = service.communicate(timeout=120)[1]
    assert service.returncode == 0, err
    assert "the monitor needs scipy" in err
    assert len((trained_copy.model_dir / "prediction_log.jsonl").read_text().splitlines()) == 1


@pytest.mark.soak
def test_training_needs_no_http_stack_and_no_repository(wheel: Path, tmp_path: Path) -> None:
    trains = Environment(tmp_path / "env", wheel, "train")
    for library in ("fastapi", "uvicorn", "sqlalchemy", "matplotlib"):
        assert not trains.has(library), library
    work = tmp_path / "work"
    work.mkdir()
    write_students(work / "mine.csv", 1500, seed=1, progress=lambda rows: None)
    begun = trains.run(work, "init", "mine.csv", "--target", "purchased")
    assert begun.returncode == 0, begun.stderr
    assert (
        (work / "config.yaml").read_text().startswith("# yaml-language-server: $schema=config.schema.json\n")
    )
    assert (work / "config.schema.json").is_file()
    made = trains.run(
        work,
        "run",
        "--json",
        *(word for setting in QUICK for word in ("--set", setting)),
    )
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["release"]["promoted"]
    scored = trains.run(work, "score", "mine.csv", "--output", "scored.csv", "--json")
    assert json.loads(scored.stdout)["scored"] == 1500
