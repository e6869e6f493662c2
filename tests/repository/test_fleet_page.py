"""docs/fleet.md says what is so: its config is the shortest that works, and its commands run in their order."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
from pathlib import Path

import yaml
from tests.conftest import ROOT, Workspace
from tests.deployment.conftest import STUDENT
from tests.deployment.real_server import Server, serving, wait_until
from tests.fleet.conftest import s3, s3_server  # noqa: F401
from tests.fleet.s3_server import BUCKET, S3

PAGE = (ROOT / "docs" / "fleet.md").read_text()
CONFIG = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", PAGE, re.S)[0])


def commands() -> list[list[str]]:
    """What the page runs, in its order, without what says why."""
    blocks = re.findall(r"<!-- run -->\n\n((?:    .*\n)+)", PAGE)
    lines = [re.split(r"\s+#", line.strip())[0] for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines]


def test_its_commands_run_in_their_order_with_its_shortest_config(
    trained_copy: Workspace,
    s3: S3,  # noqa: F811
    tmp_path: Path,
) -> None:
    assert CONFIG.pop("artifacts") == {"remote": "s3://models/students"}
    trained_copy.change(artifacts={"remote": f"s3://{BUCKET}/page"}, **CONFIG)
    (tmp_path / "machine").mkdir()
    machine = Workspace(tmp_path / "machine")
    shutil.copy(trained_copy.config_path, machine.config_path)
    run, *steps = commands()
    assert run == ["run"]  # the fixture did it
    with contextlib.ExitStack() as running:
        servers: list[Server] = []
        for words in steps:
            if words[0] == "serve":
                servers.append(running.enter_context(serving(machine, *words[1:])))
                assert servers[0].client.post("/predict", json=STUDENT).status_code == 200
                continue
            done = trained_copy.run(*words)
            assert done.code == 0, (words, done.err)
            if words == ["monitor", "--fleet"]:
                wait_until(lambda: trained_copy.run("monitor", "--fleet").out.startswith("machine"))
    assert len(servers) == 1
    told = trained_copy.run("monitor", "--fleet").out
    assert " left " in told
    assert "1 predictions since" in told
    assert trained_copy.run("drift", "--log", "artifacts/fleet").code == 0
