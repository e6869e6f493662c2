"""What docs/deployment.md says, held against the service."""

from __future__ import annotations

import json
import re
import subprocess
import textwrap

from tabloop.config.serving import ServingConfig
from tabloop.deployment.problems import PROBLEMS
from tests.conftest import ROOT
from tests.deployment.real_server import Server
from tests.shown import run_shown_alone

PAGE = ROOT / "docs" / "deployment.md"


def test_its_curl_commands_answer(server: Server) -> None:
    blocks = re.findall(r"<!-- curl -->\n((?:    .*\n)+)", PAGE.read_text())
    commands = [c for block in blocks for c in re.split(r"\n(?=curl )", textwrap.dedent(block).strip())]
    assert len(commands) == 4
    answers = []
    for command in commands:
        assert "localhost:8000" in command
        told = command.replace("localhost:8000", server.url).replace("curl -s", "curl -s --fail-with-body")
        done = subprocess.run(["bash", "-c", told], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        answers.append(done.stdout)
    assert json.loads(answers[0])["run_id"] == server.run_id
    assert len(json.loads(answers[1])["predictions"]) == 2


def test_its_client_of_the_open_inference_protocol_runs(server: Server) -> None:
    said = run_shown_alone(
        "docs/deployment.md",
        "import numpy as np, tritonclient",
        instead={"localhost:8000": server.url.removeprefix("http://")},
    )
    assert re.fullmatch(r"\[0\.\d+\] \[[01]\]\n", said)


def test_every_path_is_in_its_table(server: Server) -> None:
    page = PAGE.read_text().partition("## Paths")[2].partition("\n## ")[0]
    shown = set(re.findall(r"(/[\w{}/]*)[`,]", page))
    paths = server.client.get("/openapi.json").json()["paths"]
    assert shown - {"/", "/docs", "/openapi.json"} == paths.keys()


def test_every_kind_of_problem_is_in_its_table() -> None:
    page = PAGE.read_text().partition("## Errors")[2].partition("\n## ")[0]
    for code, kind in PROBLEMS.items():
        if code != "defect":
            (row,) = [line for line in page.splitlines() if f"`{code}`" in line]
            assert str(kind.status) in row.split("|")[1], code


def test_its_defaults_are_those_in_force() -> None:
    page = PAGE.read_text().partition("## Limits")[2].partition("\n## ")[0]
    defaults = ServingConfig()
    for name in ("max_batch_rows", "max_queue_rows", "keep_alive_s", "max_connections", "drain_timeout_s"):
        assert re.search(rf"`{name}` \| {getattr(defaults, name)} \|", page), name
    assert f"| `receive_timeout_s` | {defaults.receive_timeout_s:g} |" in page
    assert f"| {defaults.max_body_bytes >> 20} MiB, {defaults.max_records} |" in page


def test_every_metric_it_names_exists() -> None:
    defined = (ROOT / "src" / "tabloop" / "deployment" / "metrics.py").read_text()
    for name in set(re.findall(r"tabloop_[a-z_]+", PAGE.read_text())):
        assert f'"{name.removesuffix("_total")}"' in defined, name
