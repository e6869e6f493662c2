"""docs/streams.md says what is so."""

from __future__ import annotations

import re
import shlex
from typing import get_args

import yaml
from tests.conftest import ROOT, Workspace

from tabloop.config.streaming import StreamConfig, StreamSource

PAGE = (ROOT / "docs" / "streams.md").read_text()


def test_every_broker_has_a_config_that_works() -> None:
    configs = [yaml.safe_load(text)["stream"] for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.S)]
    sources = [StreamConfig.model_validate(each).source.kind for each in configs]
    kinds = [
        get_args(each.model_fields["kind"].annotation)[0] for each in get_args(get_args(StreamSource)[0])
    ]
    assert sorted([*sources, "memory"]) == sorted(kinds)
    assert "mock cluster only" in PAGE  # what was not tried is not promised


def test_its_commands_run(trained: Workspace) -> None:
    (command,) = re.findall(r"<!-- run -->\n    (.*)\n", PAGE)
    words = shlex.split(command)
    assert words[:2] == ["tabloop", "stream"]
    done = trained.run(*words[1:], "--no-search", "--json")  # the search is tried elsewhere
    assert done.code == 0, done.err
