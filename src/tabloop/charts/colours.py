"""One colour for one thing, in light and in dark, and told apart by colour-blind eyes.

The eight colours are Okabe and Ito's without yellow, which white paper swallows; in the dark they are
lighter. A mark says its colour as a CSS variable whose fallback is the light one: a page decides by
`prefers-color-scheme`, and a picture that stands alone is light.
"""

from __future__ import annotations

import re
from typing import Literal

Colour = Literal[
    "ink", "faint", "grid", "paper", "model", "limit", "reference", "current", "positive", "negative",
    "series-1", "series-2", "series-3", "series-4", "series-5", "series-6", "series-7", "series-8",
]  # fmt: skip

_LIGHT: dict[Colour, str] = {
    "ink": "#222222", "faint": "#6B6B6B", "grid": "#E3E3E3", "paper": "#FFFFFF",
    "model": "#0072B2", "limit": "#C24E00", "reference": "#7F7F7F", "current": "#0072B2",
    "positive": "#009E73", "negative": "#B55F91",
    "series-1": "#0072B2", "series-2": "#D55E00", "series-3": "#009E73", "series-4": "#CC79A7",
    "series-5": "#E69F00", "series-6": "#56B4E9", "series-7": "#000000", "series-8": "#7F7F7F",
}  # fmt: skip
_DARK: dict[Colour, str] = {
    "ink": "#E8E8E8", "faint": "#A6A6A6", "grid": "#3A3F45", "paper": "#16191D",
    "model": "#56B4E9", "limit": "#FF9E5E", "reference": "#9A9A9A", "current": "#56B4E9",
    "positive": "#2CCB9C", "negative": "#E3A0C6",
    "series-1": "#56B4E9", "series-2": "#FF8A47", "series-3": "#2CCB9C", "series-4": "#E3A0C6",
    "series-5": "#F5BE4B", "series-6": "#9AD3F5", "series-7": "#F2F2F2", "series-8": "#9A9A9A",
}  # fmt: skip
_VARIABLE = re.compile(r"var\(--chart-[a-z0-9-]+, (#[0-9A-F]{6})\)")


def paint(colour: Colour) -> str:
    """Say a colour so that a page may change it.

    Examples
    --------
    >>> paint("model")
    'var(--chart-model, #0072B2)'
    """
    return f"var(--chart-{colour}, {_LIGHT[colour]})"


def series_colour(place: int) -> Colour:
    """Give the colour of the series at a place, counted from 0; the ninth has that of the first."""
    names: tuple[Colour, ...] = (
        "series-1", "series-2", "series-3", "series-4", "series-5", "series-6", "series-7", "series-8",
    )  # fmt: skip
    return names[place % len(names)]


def candidate_colours(winner: str, names: tuple[str, ...]) -> dict[str, Colour]:
    """Give each candidate its colour: the winner the first, the others theirs by name.

    Examples
    --------
    >>> candidate_colours("svm", ("tree", "svm", "forest"))
    {'svm': 'series-1', 'forest': 'series-2', 'tree': 'series-3'}
    """
    ordered = sorted(set(names), key=lambda name: (name != winner, name))
    return {name: series_colour(place) for place, name in enumerate(ordered)}


def css_variables() -> str:
    """Write the style sheet of a page with charts: light, dark where the reader wants it, light in print."""
    dark = ";".join(f"--chart-{name}:{value}" for name, value in _DARK.items())
    light = ";".join(f"--chart-{name}:{value}" for name, value in _LIGHT.items())
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    )


def as_light(svg: str) -> str:
    """Replace the variables by their light colours, for readers that know no CSS."""
    return _VARIABLE.sub(r"\1", svg)
