from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tabloop.charts.bars import Bars, bar_chart
from tabloop.charts.chart import sheet, to_png
from tabloop.charts.dots import Estimate, dot_chart
from tabloop.charts.lines import Line, line_chart
from tabloop.charts.plot_area import Limit
from tabloop.charts.scale import Axis

HOSTILE = ("<script>alert(1)</script>", "\u202eevil\u2066", "שלום", "a\x00b\x0b", "x" * 10_000, "]]>&\"'", "")


def test_what_strangers_wrote_stays_text() -> None:
    """No element, no character that XML or the direction of the text around would suffer from."""
    svg = bar_chart("t", "d", Axis("rows"), HOSTILE, [Bars("rows", [1.0] * len(HOSTILE))]).svg
    root = ElementTree.fromstring(svg)  # noqa: S314 - our own
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert names == {"svg", "title", "desc", "g", "line", "text", "rect"}
    text = "".join(root.itertext())
    assert not {"\u202e", "\u2066", "\x00"} & set(text)
    assert "(10,000 characters)" in text
    assert len(svg) < 12_000


def test_a_name_of_another_direction_does_not_turn_its_neighbours() -> None:
    svg = dot_chart("t", "d", Axis("rows"), [Estimate("שלום", 1.0)]).svg
    assert "\u2068שלום\u2069" in svg


def test_what_stands_behind_a_name_keeps_its_side_and_its_room() -> None:
    estimates = [Estimate("שלום", 1.0, note="12"), Estimate("x" * 200, 1.0, note="1,234")]
    svg = dot_chart("t", "d", Axis("rows"), estimates, shows_notes=True).svg
    assert "\u2068שלום\u2069 (12)" in svg
    assert "…\u2069 (1,234)" in svg


def test_a_limit_is_named_where_it_covers_nothing() -> None:
    limits = [Limit(0.9, "asked for"), Limit(0.5, "threshold", along="x")]
    lines = [Line("precision", [0.0, 1.0], [0.0, 1.0])]
    root = ElementTree.fromstring(  # noqa: S314 - our own
        line_chart("t", "d", Axis("x"), Axis("y"), lines, limits=limits).svg
    )
    height = float(root.get("viewBox", "").split()[-1])
    at = {"".join(text.itertext()): float(text.get("y", "0")) for text in root.iter() if text.get("y")}
    assert at["threshold"] < 24
    (asked,) = [y for words, y in at.items() if "asked for" in words]
    assert height - asked < 24


def test_a_chart_says_what_it_is() -> None:
    chart = dot_chart("Candidates", "By ROC-AUC.", Axis("ROC-AUC"), [Estimate("svm", 0.9, 0.8, 0.95, "300")])
    root = ElementTree.fromstring(chart.svg)  # noqa: S314 - our own
    assert (root.get("role"), root.get("aria-label")) == ("img", "Candidates")
    assert [root[0].text, root[1].text] == ["Candidates", "By ROC-AUC."]
    assert chart.table.rows == (("svm", "0.9", "0.8 to 0.95", "300"),)


def test_the_same_values_give_the_same_bytes() -> None:
    charts = [dot_chart("t", "d", Axis("x"), [Estimate("a", 0.123456789, 0.1, 0.2)]) for _ in range(2)]
    assert charts[0].svg == charts[1].svg
    first, second = (to_png(sheet([[chart]])) for chart in charts)
    assert first == second
    assert first.startswith(b"\x89PNG")


@pytest.mark.parametrize("drawn", [[], ["a"]])
def test_without_values_it_says_so_in_words(drawn: list[str]) -> None:
    chart = dot_chart("t", "nothing was measured", Axis("x"), [Estimate(name, 1.0) for name in drawn])
    assert chart.description.startswith("No data yet") == (not drawn)
    assert (chart.svg == "") == (not drawn)
