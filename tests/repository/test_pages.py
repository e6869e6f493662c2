"""What the pages show is so: commands that exist with such options, settings that are valid, Python that a test runs."""

from __future__ import annotations

import ast
import functools
import re
import shlex
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from tests.conftest import ROOT
from tests.shown import shown_block

import tabloop as tabloop_package
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


#: The functions of `tests/shown.py`, by which a test takes what a page shows.
SHOWN = {"shown_block", "run_shown", "run_shown_alone"}


@functools.cache
def taken_by_tests() -> set[tuple[str, str]]:
    """Every page and beginning that a test takes from a page to run it."""
    found = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if "tests.shown" in text else ():
            if isinstance(node, ast.Call):
                given = [node.func, *node.args] if is_name(node.func, SHOWN) else node.args
                if len(given) >= 3 and is_name(given[0], SHOWN):  # partial(run_shown, ...) too
                    told = [each.value for each in given[1:3] if isinstance(each, ast.Constant)]
                    if len(told) == 2:
                        found.add((str(told[0]), str(told[1])))
    return found


def is_name(node: ast.expr, names: set[str]) -> bool:
    return isinstance(node, ast.Name) and node.id in names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_is_run(page: Path) -> None:
    taken = [start for path, start in taken_by_tests() if path == str(page.relative_to(ROOT))]
    for block in blocks(page):
        if ">>> " in block.text:
            assert "doctest.testfile(" in TESTS
            assert f'"{page.name}"' in TESTS, f"{page.name}: no test runs its doctests"
        elif is_python(block):
            compile(block.text, str(page), "exec")
            first = block.text.split("\n")[0]
            assert any(block.text.startswith(start) for start in taken), (
                f"{page.name}: no test runs {first!r}; tests/shown.py helps"
            )


def test_what_tests_take_from_pages_is_there() -> None:
    taken = taken_by_tests()
    assert len(taken) > 10
    for page, start in taken:
        assert shown_block(page, start)


#: The clauses that open a query; words of prose may follow `SELECT`, but not in a block.
SQL = re.compile(r"\b(SELECT|INSERT|CREATE TABLE|UPDATE|GRANT)\b.*")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_sql_is_run(page: Path) -> None:
    taken = {start for path, start in taken_by_tests() if path == str(page.relative_to(ROOT))}
    for block in blocks(page):
        if SQL.search(block.text):
            assert any(block.text.startswith(start) for start in taken), f"{page.name}: {block.text}"


FILE_ENDINGS = {"py", "md", "json", "jsonl", "yaml", "npz", "html"}


@dataclass
class Facts:
    """What of a page is held against the code."""

    checked: int = 0
    wrong: list[str] = field(default_factory=list)

    def note(self, right: bool, what: str) -> None:
        self.checked += 1
        if not right:
            self.wrong.append(what)


@functools.cache
def known_settings() -> set[str]:
    text = (ROOT / "docs" / "configuration.md").read_text()
    return {re.sub(r"\[\w+\]", "", name) for name in re.findall(r"`([a-z_]+(?:\[\w+\]|\.[\w*]+)+)`", text)}


def facts_of(page: Path) -> Facts:
    """Hold what stands in code marks against the code: settings, paths, files of the package, names, links."""
    facts = Facts()
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    settings = known_settings()
    sections = Config.model_fields.keys()
    paths = {re.sub(r"\{.*?\}", "{}", path) for path in describe_operations()}
    rooms = {path.split("/")[1] for path in paths} - {""}
    for said in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text):
        section, ending = said.partition(".")[0], said.rpartition(".")[2]
        if section in sections and re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", said) and ending not in FILE_ENDINGS:
            facts.note(any(name == said or name.startswith(f"{said}.") for name in settings), said)
        asked = re.fullmatch(r"(?:GET |POST )?(/[a-z_]+(?:/[\w{}]+)*)", said)
        if asked and asked.group(1).split("/")[1] in rooms:
            facts.note(re.sub(r"\{.*?\}", "{}", asked.group(1)) in paths, said)
        if made := re.fullmatch(r"tl\.([A-Za-z_]+)(?:\(.*)?", said):
            facts.note(made.group(1) in tabloop_package.__all__, said)
        if re.fullmatch(r"(?:[a-z_0-9]+/)+[a-z_0-9]+\.py", said):
            facts.note(any((ROOT / place / said).exists() for place in ("", "src", "src/tabloop")), said)
    for target, place in re.findall(r"\]\(([\w./-]*)(?:#([\w-]+))?\)", text):
        there = page if not target else page.parent / target
        right = there.exists()
        if right and place and there.suffix == ".md":
            right = place in {anchor(title) for title in re.findall(r"^#+ (.*)", there.read_text(), re.M)}
        facts.note(right, f"{target}#{place}")
    facts.checked += len(commands(page))  # by the tests above
    return facts


def anchor(title: str) -> str:
    """The place of a heading, as GitHub and MyST name it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_names_is_there(page: Path) -> None:
    facts = facts_of(page)
    assert not facts.wrong
    own = page.stem == "glossary"  # its words are held below
    assert own or facts.checked >= 3, f"{page.name}: nothing in it can be checked against the code"


def test_the_words_of_the_glossary_are_used() -> None:
    glossary = ROOT / "docs" / "glossary.md"
    words = re.findall(r"^\| ([^|]+?) \| [A-Z`]", glossary.read_text(), re.M)
    assert len(words) > 20
    others = "\n".join(page.read_text() for page in PAGES if page != glossary).lower()
    for word in (each for words_of_line in words for each in words_of_line.split(", ")):
        assert word.lower() in others, f"{word}: no page uses it"


def test_every_benchmark_is_on_a_page() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    for script in (ROOT / "benchmarks").glob("*.py"):
        named = f"benchmarks.{script.stem}" in page or f"{script.stem}.py" in page
        assert named or script.stem == "__init__", f"{script.name}: name it in docs/benchmarks.md"


#: A figure that somebody measured, in a table or in prose.
FIGURE = re.compile(
    r"(?<![\w.])\d[\d,.]*(?:e-\d+)? ?(?:ms|µs|s|min|MB|MiB|GB|GiB|KB|kB|KiB|%|rows/s|a second|times)(?!\w)"
    r"|\d(?:\.\d+)?e-\d|(?<![\w.])0\.\d{2,}"
)
TIME_OR_SIZE = re.compile(
    r"(?<![\w.])\d[\d,.]* ?(?:ms|µs|MB|MiB|GB|GiB|rows/s|CPU s|(?:rows|requests|events) a second)\b"
)
#: What makes figures: a script of benchmarks/, a target of make, or a command of tabloop that measures.
MADE_BY = re.compile(
    r"benchmarks[./]\w+|make (?:soak|run|test|docs)\b|pytest |"
    r"tabloop (?:run|train|export|quantize|parity|benchmark|learning-curve|explain|score|stream --simulate)\b"
)
#: Tables of definitions and of settings, and reckoning on paper: numbers that nobody measured.
NOT_MEASURED = {
    ("scale.md", "## A hundred cores, a thousand"),
    ("deployment.md", "## Errors"),
    ("models.md", "# Which model when"),
    ("tuning.md", "## What is searched"),
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_figures_name_the_command_that_made_them(page: Path) -> None:
    for section in re.split(r"(?m)^(?=## )", page.read_text()):
        heading = section.split("\n")[0]
        told = re.sub(r"`[^`\n]*`", "", section)
        lines = [line for line in told.split("\n") if line.startswith("| ") and FIGURE.search(line)]
        prose = re.sub(r"(?m)^(?:\||    ).*$", "", told)
        measured = len(lines) >= 3 or len(TIME_OR_SIZE.findall(prose)) >= 3
        if measured and (page.name, heading) not in NOT_MEASURED:
            assert MADE_BY.search(section), f"{page.name}, {heading}: say which command made these figures"


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
