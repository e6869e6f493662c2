from __future__ import annotations

import re

from tabloop.charts.colours import as_light, css_variables, paint, series_colour


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_text_and_marks_stand_out_from_the_paper_by_day_and_by_night() -> None:
    """Contrast as WCAG has it: 4.5 for what is read, at least 2 for marks, whose outlines and words help."""
    for sheet in css_variables().split("@media"):
        colours = dict(re.findall(r"--chart-([a-z0-9-]+):(#[0-9A-F]{6})", sheet))
        paper = _luminance(colours.pop("paper"))
        for name, colour in colours.items():
            lighter, darker = sorted((_luminance(colour), paper), reverse=True)
            least = 4.5 if name in ("ink", "faint", "limit") else 1.1 if name == "grid" else 2.0
            assert (lighter + 0.05) / (darker + 0.05) >= least, name


def test_series_differ_and_a_picture_that_stands_alone_needs_no_style_sheet() -> None:
    assert len({paint(series_colour(i)) for i in range(8)}) == 8
    assert as_light(paint("model")) == "#0072B2"
