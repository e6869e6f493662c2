"""What stands in `deploy/` and in the Dockerfile names only what exists. No image is built and no container started here."""

from __future__ import annotations

import configparser
import fnmatch
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"
#: Labels that Prometheus adds, and what a histogram's buckets are known by.
_ADDED_LABELS = {"instance", "job", "le"}

_LIST_METRICS = """
import json
from prometheus_client import REGISTRY
from tabloop.deployment import metrics
labels = {}
for metric in vars(metrics).values():
    if hasattr(metric, "_labelnames") and hasattr(metric, "describe"):
        (family,) = metric.describe()
        ends = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}[family.type]
        for end in ends:
            labels[family.name + end] = list(metric._labelnames)
print(json.dumps(labels))
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The labels of every metric of the service, by the name under which Prometheus knows it."""
    environ = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path_factory.mktemp("metrics"))}
    done = subprocess.run(
        [sys.executable, "-c", _LIST_METRICS], env=environ, capture_output=True, text=True, check=True
    )
    return {name: set(labels) for name, labels in json.loads(done.stdout).items()}


def load(path: str) -> Any:
    return yaml.safe_load((DEPLOY / path).read_text())


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboards/tabloop.json").read_text())
    return loaded


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def alert_rules() -> list[dict[str, Any]]:
    return [rule for group in load("alerts.yml")["groups"] for rule in group["rules"]]


def expressions() -> dict[str, str]:
    """Everything that is asked of Prometheus, by who asks."""
    found = {f"alert {rule['alert']}": rule["expr"] for rule in alert_rules()}
    for panel in panels():
        for target in panel["targets"]:
            found[f"panel {panel['title']} {target['refId']}"] = target["expr"]
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            found[f"variable {variable['name']}"] = variable["query"]["query"]
    for annotation in dashboard()["annotations"]["list"]:
        found[f"annotation {annotation['name']}"] = annotation["expr"]
    return found


@pytest.mark.parametrize("who", expressions())
def test_an_expression_names_only_metrics_and_labels_that_exist(
    who: str, served: dict[str, set[str]]
) -> None:
    expression = expressions()[who]
    names = set(re.findall(r"\btabloop_\w+", expression))
    assert names or re.match(r"up\{", expression), expression
    assert names <= served.keys()
    for name, selector in re.findall(r"\b(tabloop_\w+)\{([^}]*)\}", expression):
        asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
        assert asked <= served[name] | _ADDED_LABELS, (name, asked)
    known = set().union(*(served[name] for name in names)) | _ADDED_LABELS
    for grouped in re.findall(r"\bby \(([^)]*)\)", expression):
        assert {label.strip() for label in grouped.split(",")} <= known, grouped
    for opening, closing in ("()", "{}", "[]"):
        assert expression.count(opening) == expression.count(closing)


def test_every_metric_is_on_the_dashboard(served: dict[str, set[str]]) -> None:
    shown = " ".join(target["expr"] for panel in panels() for target in panel["targets"])
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in served}
    assert [name for name in sorted(families) if name not in shown] == []


def test_an_alert_says_what_happened_and_what_to_do() -> None:
    names = [rule["alert"] for rule in alert_rules()]
    assert len(names) == len(set(names)) >= 5
    for rule in alert_rules():
        assert rule["labels"]["severity"] in ("page", "warn")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["action"]
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            grouped = re.findall(r"\bby \(([^)]*)\)", rule["expr"])
            assert all(label in group for group in grouped), (rule["alert"], label)


def test_the_dashboard_can_be_laid_out_and_finds_its_source() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))
    (source,) = load("grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert source["type"] == "prometheus"
    assert source["isDefault"]
    for panel in panels():
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
    variables = {variable["name"]: variable for variable in dashboard()["templating"]["list"]}
    assert variables["datasource"]["query"] == source["type"]
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(dashboard())))
    assert used <= variables.keys()


def test_the_services_find_each_other() -> None:
    services = load("compose.yaml")["services"]
    scraped = [
        target
        for job in load("prometheus.yml")["scrape_configs"]
        for static in job["static_configs"]
        for target in static["targets"]
    ]
    words = services["tabloop"]["command"]
    assert scraped == [f"tabloop:{words[words.index('--port') + 1]}"]
    jobs = {job["job_name"] for job in load("prometheus.yml")["scrape_configs"]}
    assert set(re.findall(r'job="(\w+)"', " ".join(expressions().values()))) <= jobs
    (source,) = load("grafana/provisioning/datasources/prometheus.yml")["datasources"]
    host, port = re.fullmatch(r"http://(\w+):(\d+)", source["url"]).groups()  # type: ignore[union-attr]
    assert host in services
    assert services[host]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_what_is_mounted_is_there_and_is_looked_for_there() -> None:
    services = load("compose.yaml")["services"]
    inside: dict[str, str] = {}
    for service in services.values():
        for volume in service["volumes"]:
            if volume["type"] == "bind":
                source = (DEPLOY / volume["source"]).resolve()
                assert source.exists() or source == ROOT / "artifacts", source
                inside[volume["target"]] = str(source)
    for file in load("prometheus.yml")["rule_files"]:
        assert f"/etc/prometheus/{file}" in inside
    (provider,) = load("grafana/provisioning/dashboards/tabloop.yml")["providers"]
    folder = provider["options"]["path"]
    assert folder in inside
    home = Path(services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (Path(inside[folder]) / home.relative_to(folder)).is_file()
    assert f"WORKDIR {Path('/project')}" in (ROOT / "Dockerfile").read_text()


def test_nothing_is_published_beyond_loopback_or_runs_with_more_than_it_needs() -> None:
    for name, service in load("compose.yaml")["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        image = service["image"]
        assert "build" in service or re.search(r":v?\d+\.\d+\.\d+$", image), image


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in ("", "#")]
    assert rules[0] == "*"
    stages = {rest.split()[-1] for word, rest in instructions() if word == "FROM" and " AS " in rest}
    copied = 0
    for word, rest in instructions():
        if word != "COPY":
            continue
        words = shlex.split(rest)
        if words[0].startswith("--from="):
            assert words[0].removeprefix("--from=") in stages
            continue
        for source in words[:-1]:
            copied += 1
            assert (ROOT / source).exists(), source
            assert any(fnmatch.fnmatch(source, rule[1:]) for rule in rules if rule[0] == "!"), source
    assert copied >= 5


def test_the_image_runs_the_service_as_nobody_in_particular() -> None:
    last = {word: rest for word, rest in instructions() if word in ("USER", "ENTRYPOINT", "CMD", "EXPOSE")}
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last["USER"])
    command = json.loads(last["ENTRYPOINT"]) + json.loads(last["CMD"])
    shown = subprocess.run(
        [sys.executable, "-c", "from tabloop.cli import main; main()", *command[1:], "--help"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert all(word in shown.stdout for word in command if word.startswith("--"))
    assert command[command.index("--port") + 1] == last["EXPOSE"]
    (health,) = (rest for word, rest in instructions() if word == "HEALTHCHECK")
    assert f"127.0.0.1', {last['EXPOSE']}" in health
    for word, rest in instructions():
        if word == "RUN" and "pip install" in rest:
            for install in re.findall(r"pip install[^&]*", rest):
                assert "--require-hashes" in install or "--no-index" in install, install


def pins(lock: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9_.\-]+)==([^\s;\\]+)", (ROOT / lock).read_text(), re.M):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


def test_an_image_that_trains_is_one_argument_away() -> None:
    """It is told which lock to install; every lock it may be told is copied, and holds what it says."""
    text = (ROOT / "Dockerfile").read_text()
    (default,) = re.findall(r"^ARG REQUIREMENTS=(\S+)$", text, re.M)
    (other,) = re.findall(r"--build-arg REQUIREMENTS=(\S+\.lock)", text)
    (copied,) = (rest.split()[:-1] for word, rest in instructions() if word == "COPY" and default in rest)
    assert {default, other} == set(copied)
    assert '-r "$REQUIREMENTS"' in text
    assert {"scikit-learn", "polars", "scipy"} & pins(default).keys() == {"scipy"}
    assert {"scikit-learn", "polars", "scipy", "fastapi"} <= pins(other).keys()


LOCKS = sorted(path.name for path in ROOT.glob("requirements*.lock"))


@pytest.mark.parametrize("lock", LOCKS)
def test_the_locks_hold_hashes_and_name_no_registry(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "index-url" not in text
    assert "--find-links" not in text
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert all("--hash=sha256:" in block for block in blocks)
    tested = pins("requirements.lock")
    for name, versions in pins(lock).items():
        assert name not in tested or versions == tested[name], (
            f"{name} is not what is tested: run `make lock`"
        )


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("requirements-serve.lock", ["serve", "monitor", "opentelemetry"]),
        ("requirements-run.lock", ["train", "serve"]),
    ],
)
def test_what_runs_has_every_dependency_and_no_developer_s(lock: str, extras: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    locked = pins(lock)
    runtime = [Requirement(each) for each in project["project"]["dependencies"]]
    for extra in extras:
        runtime += [Requirement(each) for each in project["project"]["optional-dependencies"][extra]]
    for requirement in runtime:
        versions = locked.get(canonicalize_name(requirement.name))
        assert versions, f"{requirement.name} is not in {lock}: run `make lock`"
        assert all(requirement.specifier.contains(version, prereleases=True) for version in versions)
    wanted = {canonicalize_name(requirement.name) for requirement in runtime}
    groups = [*project["dependency-groups"]["test"], *project["dependency-groups"]["dev"]]
    developers = {canonicalize_name(Requirement(each).name) for each in groups if isinstance(each, str)}
    assert not (developers - wanted) & locked.keys()
    assert "pytest" in pins("requirements-test.lock")
    assert "mypy" not in pins("requirements-test.lock")
    backend = {canonicalize_name(Requirement(each).name) for each in project["build-system"]["requires"]}
    assert backend <= pins("requirements-build.lock").keys()


def test_onnxruntime_is_told_to_report_to_nobody() -> None:
    started = [ROOT / "Dockerfile", *(DEPLOY / "systemd").glob("*.service")]
    assert all("ORT_DISABLE_TELEMETRY=1" in path.read_text() for path in started)


def test_the_units_start_commands_that_exist() -> None:
    for path in sorted((DEPLOY / "systemd").glob("*.service")):
        unit = configparser.RawConfigParser(strict=False)
        unit.optionxform = str  # type: ignore[assignment,method-assign]
        unit.read(path)
        words = shlex.split(unit["Service"]["ExecStart"])
        assert words[0].endswith("/tabloop")
        shown = subprocess.run(
            [sys.executable, "-c", "from tabloop.cli import main; main()", *words[1:], "--help"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert shown.returncode == 0, shown.stderr
