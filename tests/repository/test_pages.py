"""What the pages show is so: commands that exist with such options, settings that are valid, Python that a test runs."""

from __future__ import annotations

import re
import shlex
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from tests.conftest import ROOT

from tabloop.cli.main import tabloop
from tabloop.config.config import Config
from tabloop.deployment.openapi_document import describe_operations

#: Written from the code, and compared with it as a whole.
GENERATED = {"configuration", "command-line", "http", "artifact-formats", "python-api"}
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples" / "README.md",
    *sorted(path for path in (ROOT / "docs").glob("*.md") if path.stem not in GENERATED),
]
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
TESTS = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
#: Python that is run line by line, or that no test runs, each with the place or the reason.
RUN_OTHERWISE = {
    "pandas.read_json(": "tests/artifacts/prediction_log/test_reader.py runs each line",
    "retrain = BashOperator(": "Airflow is not among what the tests install",
    'run, model = tl.Project("artifacts", kind="pandas").champion': "skore is not among what the tests install",
    'train = run.rows("train")': "Evidently is not among what the tests install",
    "import tabloop as tl\n\nrun = tl.run(frame, tl.init(frame": "examples/first_model.py does the same",
}


@dataclass(frozen=True)
class Block:
    """What stands set off in a page: its language where it is named, and its text."""

    page: Path
    language: str
    text: str

    @property
    def lines(self) -> list[str]:
        return [line for line in re.sub(r" *\\\n *", " ", self.text).splitlines() if line.strip()]


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for language, inside in re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S):
        yield Block(page, language, inside)
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    for inside in re.findall(r"(?:(?<=\n\n)|(?<=-->\n))((?:    .*\n|\n(?=    ))+)", text):
        shown = textwrap.dedent(inside).strip("\n")
        if not re.match(r"\d+\.|[-*] ", shown):  # the rest of an item of a list
            yield Block(page, "", shown + "\n")


def commands(page: Path) -> list[str]:
    """Every command of a page, in a block or in code marks."""
    lines = [line.strip() for block in blocks(page) for line in block.lines]
    text = re.sub(r"^```.*?^```|``.*?``", "", page.read_text(), flags=re.M | re.S)
    lines += re.findall(r"(?<![`\w])`(make [a-z]+|(?:tabloop|python|pip) [^`\n]+)`", text)
    return [re.sub(r"^(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?(?=tabloop |python )", "", line) for line in lines]


def is_python(block: Block) -> bool:
    return block.language == "python" or bool(
        not block.language and re.match(r"(import|from) \w|\w+(, \w+)* = \w+[.(]", block.text)
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_exist_and_take_such_options(page: Path) -> None:
    for command in commands(page):
        if command.startswith("tabloop ") and not command.startswith("tabloop run needs"):
            check_command(command)


def check_command(command: str) -> None:
    said = re.split(r"\s+#|\s{3,}|[<>|]|\.\.\.| && ", command)[0]
    words = shlex.split(said.replace("[", " ").replace("]", " "))[1:]
    group: click.Command = tabloop
    context = click.Context(group, info_name="tabloop")
    while words and isinstance(group, click.Group) and (below := group.get_command(context, words[0])):
        group, words = below, words[1:]
    assert group is not tabloop or words[:1] in ([], ["--version"], ["--help"]) or words[0].isupper(), command
    known = {name for each in group.get_params(context) for name in (*each.opts, *each.secondary_opts)}
    for word in words:
        if word.startswith("--"):
            assert word.partition("=")[0].rstrip(",.") in known, f"{command}: {word}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_else_is_called_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for command in commands(page):
        if made := re.match(r"make ([a-z]+)\b", command):
            assert made.group(1) in targets, command
        for extras in re.findall(r"tabloop\[([a-z,]+)\]", command):
            assert set(extras.split(",")) <= EXTRAS, command
        if measured := re.match(r"python (?:-m benchmarks\.(\w+)|benchmarks/(\w+)\.py)(.*)", command):
            script = ROOT / "benchmarks" / f"{measured.group(1) or measured.group(2)}.py"
            assert script.is_file(), command
            for option in re.findall(r"(?<= )--[\w-]+", measured.group(3)):
                assert f'"{option}"' in script.read_text(), command
        if asked := re.search(r"\bcurl\b.*localhost:8000(/[\w/]*)", command):
            assert asked.group(1) in (*describe_operations(), "/openapi.json"), command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_settings_are_settings(page: Path) -> None:
    for block in blocks(page):
        shown = block.language == "yaml" or re.match(rf"({'|'.join(Config.model_fields)}):", block.text)
        if shown:
            settings = yaml.safe_load(re.split(r"^tabloop ", block.text, flags=re.M)[0])
            assert isinstance(settings, dict), block.text
            assert settings.keys() <= Config.model_fields.keys(), block.text
            for section, values in settings.items():
                check_keys(section, values)


def check_keys(section: str, values: Any) -> None:
    """Hold the keys of a section against docs/configuration.md, which is written from the types."""
    reference = (ROOT / "docs" / "configuration.md").read_text()
    for key, below in values.items() if isinstance(values, dict) else ():
        place = rf"`{section}\.{key}(?:\[\w+\])?(?:[`.])"
        assert re.search(place, reference), f"{section}.{key}"
        if isinstance(below, dict) and "kind" not in below and section != "contract":
            for inner in below if re.search(rf"`{section}\.{key}\.\w+`", reference) else ():
                assert f"`{section}.{key}.{inner}`" in reference, f"{section}.{key}.{inner}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_is_run(page: Path) -> None:
    for block in blocks(page):
        if not is_python(block) or ">>> " in block.text:  # of a doctest a test says so itself
            continue
        compile(block.text, str(page), "exec")
        if not any(block.text.startswith(start) for start in RUN_OTHERWISE):
            first = block.text.split("\n")[0]
            assert any(start in TESTS for start in starts(first)), f"{page.name}: no test runs {first!r}"


def starts(line: str) -> set[str]:
    """The beginnings of a line by which a test may look for it."""
    words = line.split(" ")
    return {" ".join(words[:n]).rstrip(",") for n in range(min(2, len(words)), len(words) + 1)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_page_is_touched_by_a_test(page: Path) -> None:
    """A page of prose alone is held by its links; one that shows something, by what it shows."""
    own = f"{page.stem}.md" in TESTS or f"docs/{page.name}" in TESTS
    leads = re.search(r"\]\(([^)#\s]+\.(?:md|py|ipynb))", page.read_text())
    checked = own or leads or commands(page) or re.search(r"`(?:\w+/)+\w+\.py`", page.read_text())
    assert checked, f"{page.name}: nothing in it can be checked"


def test_every_benchmark_is_on_a_page() -> None:
    pages = "\n".join(page.read_text() for page in PAGES)
    for script in (ROOT / "benchmarks").glob("*.py"):
        named = f"benchmarks.{script.stem}" in pages or f"{script.stem}.py" in pages
        assert named or script.stem == "__init__", f"{script.name}: name it in docs/benchmarks.md"


def test_the_figures_of_the_readme_stand_on_the_pages_it_names() -> None:
    rows = re.findall(
        r"^\| .* \| (.*) \| `(.*)` \(\[more\]\((docs/[\w-]+\.md)#", (ROOT / "README.md").read_text(), re.M
    )
    rows += re.findall(
        r"^\| [^|]* \| ([^|]*) \| `([^`|]*)` \(\[more\]\((docs/[\w-]+\.md)#",
        (ROOT / "README.md").read_text(),
        re.M,
    )
    assert len(rows) >= 6
    for figures, command, page in rows:
        text = (ROOT / page).read_text()
        for figure in re.findall(r"\d[\d,.]*\d(?:e-\d+)?", figures):
            assert figure in text, (figure, page)
        if "benchmarks" in command:
            assert command.partition(" --")[0] in text, (command, page)
