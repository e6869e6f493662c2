"""The command that shows the documentation."""

from __future__ import annotations

import shutil
import sys

import click

from tabloop.cli.output import write_json
from tabloop.pages.cite import site_address
from tabloop.pages.page import Hit, Page, find_page, read_pages, search_pages

_MOST_HITS = 12
_WIDEST = 110


@click.command(epilog='Example: tabloop docs streams; tabloop docs "no champion yet"')
@click.argument("words", metavar="[TOPIC | WORDS]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def docs(words: tuple[str, ...], as_json: bool) -> None:
    """Show a page of the documentation, or the places that hold WORDS; without either, list the topics.

    The pages are those of this version, and need no network.
    """
    said = " ".join(words)
    if not said:
        _list_topics(as_json)
    elif said in {page.topic for page in read_pages()}:
        _show(find_page(said), as_json)
    else:
        _search(said, as_json)


def _list_topics(as_json: bool) -> None:
    pages, address = read_pages(), site_address()
    if as_json:
        topics = [{"topic": page.topic, "title": page.title, "lead": page.lead} for page in pages]
        write_json({"topics": topics, "address": address})
        return
    width = max(len(page.topic) for page in pages)
    for page in pages:
        click.echo(f"{page.topic:<{width}}  {page.title}")
    click.echo(
        "\n`tabloop docs TOPIC` shows a page, `tabloop docs WORDS` finds places: an error by its text, say."
    )
    if address:
        click.echo(f"The same with pictures: {address}")


def _show(page: Page, as_json: bool) -> None:
    if as_json:
        write_json({"topic": page.topic, "title": page.title, "text": page.text})
    elif sys.stdout.isatty():
        text = _rendered(page.text)
        is_long = text.count("\n") >= shutil.get_terminal_size().lines
        click.echo_via_pager(text, color=True) if is_long else click.echo(text, nl=False)
    else:
        click.echo(page.text, nl=False)


def _search(words: str, as_json: bool) -> None:
    hits = search_pages(words)
    if not hits:
        find_page(words)
    if as_json:
        write_json({"words": words, "hits": hits})
        return
    for hit in hits[:_MOST_HITS]:
        click.echo(_shown(hit))
    if len(hits) > _MOST_HITS:
        click.echo(f"and {len(hits) - _MOST_HITS} more places; more words find fewer")


def _shown(hit: Hit) -> str:
    where = f"{hit.topic}: {hit.heading or hit.title}"
    width = min(_WIDEST, shutil.get_terminal_size((_WIDEST, 24)).columns)
    passage = click.wrap_text(hit.passage, width, initial_indent="  ", subsequent_indent="  ")
    return f"{click.style(where, bold=True)}\n{passage}\n"


def _rendered(text: str) -> str:
    """Render for a terminal, with Rich where it is installed."""
    try:
        from rich.console import Console
        from rich.markdown import Markdown
    except ModuleNotFoundError:
        return text
    console = Console(width=min(_WIDEST, shutil.get_terminal_size().columns), force_terminal=True)
    with console.capture() as captured:
        console.print(Markdown(text, hyperlinks=False, code_theme="ansi_dark"))
    return captured.get()
