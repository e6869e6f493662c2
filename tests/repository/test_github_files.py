"""What stands in `.github/` and beside it names only what exists, and is of the form that its readers want."""

from __future__ import annotations

import re
import subprocess
import tomllib
from typing import Any

import pytest
import yaml
from tests.conftest import ROOT

from tabloop import __version__

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def load(path: Any) -> dict[str, Any]:
    loaded: dict[Any, Any] = yaml.safe_load(path.read_text())
    # YAML 1.1 reads on as true
    return {("on" if key is True else key): value for key, value in loaded.items()}


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def require_target(command: str) -> None:
    words = command.split()
    assert words[0] == "make"
    done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_calls_targets_that_exist_and_may_do_little(path: Any) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["on"]
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 120
        assert set(job.get("permissions", {})) <= {"id-token"}
        assert job.get("needs", "build") in load(path)["jobs"] or "needs" not in job
    made = [step["run"] for step in steps(workflow) if step.get("run", "").startswith("make ")]
    assert any(command.startswith("make check") for command in made)
    for command in made:
        require_target(command)
    for step in steps(workflow):
        assert ("uses" in step) != ("run" in step)
        assert "uses" not in step or re.fullmatch(r"[\w-]+/[\w-]+@\S+", step["uses"]), step


def test_the_same_check_runs_on_every_python_that_is_supported() -> None:
    tested = load(GITHUB / "workflows" / "check.yml")["jobs"]["check"]["strategy"]["matrix"]["python"]
    named = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", each)]
    assert tested == named
    assert PROJECT["requires-python"] == f">={tested[0]},<3.{int(tested[-1].split('.')[1]) + 1}"


def test_a_release_is_published_without_a_password_and_only_what_was_checked() -> None:
    workflow = load(GITHUB / "workflows" / "release.yml")
    assert workflow["on"] == {"push": {"tags": ["v*"]}}
    publish = workflow["jobs"]["publish"]
    assert publish["needs"] == "build"
    assert publish["permissions"] == {"id-token": "write"}
    assert "secrets." not in (GITHUB / "workflows" / "release.yml").read_text()
    (upload,) = (step["with"] for step in steps(workflow) if "upload-artifact" in step.get("uses", ""))
    (download,) = (step["with"] for step in steps(workflow) if "download-artifact" in step.get("uses", ""))
    assert upload["name"] == download["name"]


def test_every_hook_is_a_target_of_make() -> None:
    (repository,) = load(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    assert len(repository["hooks"]) >= 3
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        require_target(hook["entry"])


@pytest.mark.parametrize("name", ["defect.yml", "proposal.yml"])
def test_an_issue_s_form_is_whole(name: str) -> None:
    form = load(GITHUB / "ISSUE_TEMPLATE" / name)
    assert form["name"]
    assert form["description"]
    assert any(field.get("validations", {}).get("required") for field in form["body"])
    for field in form["body"]:
        assert field["type"] in ("textarea", "input", "dropdown", "checkboxes", "markdown")
        assert field["attributes"]["label"]


def test_the_citation_is_of_this_version() -> None:
    citation = load(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == __version__ == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["title"].startswith("tabloop")
    assert citation["authors"]


def test_the_changelog_is_kept_as_it_says() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## (.*)$", text, re.M)
    assert versions[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", each) for each in versions[1:])
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    headings = re.findall(r"^### (.*)$", text, re.M)
    assert set(headings) <= kinds
    assert "Added" in headings
