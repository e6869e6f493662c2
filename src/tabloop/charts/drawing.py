"""An SVG drawing, put together with the standard library's XML writer: it escapes whatever it is given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal
from xml.etree import ElementTree

from tabloop.charts.colours import Colour, paint
from tabloop.charts.text import isolated, visible

Anchor = Literal["start", "middle", "end"]


class Drawing:
    """Marks on a sheet of so many pixels; the later cover the earlier.

    Parameters
    ----------
    width, height : float
        The size of the sheet.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.root = ElementTree.Element("g")

    def line(
        self,
        x1: float, y1: float, x2: float, y2: float,
        colour: Colour, *, width: float = 1.0, dash: str | None = None, opacity: float | None = None,
    ) -> None:  # fmt: skip
        """Draw a straight line."""
        self._add(
            "line", x1=_px(x1), y1=_px(y1), x2=_px(x2), y2=_px(y2), stroke=paint(colour),
            stroke_width=_px(width), stroke_dasharray=dash, stroke_opacity=_maybe(opacity),
        )  # fmt: skip

    def path(
        self,
        points: Iterable[tuple[float, float]],
        colour: Colour,
        *,
        width: float = 2.0,
        dash: str | None = None,
    ) -> None:
        """Join points by a line."""
        if steps := _steps(points):
            self._add(
                "path",
                d="M" + "L".join(steps),
                fill="none",
                stroke=paint(colour),
                stroke_width=_px(width),
                stroke_dasharray=dash,
                stroke_linejoin="round",
            )

    def area(self, points: Iterable[tuple[float, float]], colour: Colour) -> None:
        """Fill what points enclose, so lightly that what lies below is seen."""
        if steps := _steps(points):
            self._add("path", d="M" + "L".join(steps) + "Z", fill=paint(colour), fill_opacity=_px(0.18))

    def rectangle(
        self,
        x: float, y: float, width: float, height: float,
        colour: Colour, *, opacity: float | None = None, tip: str | None = None,
    ) -> None:  # fmt: skip
        """Fill a rectangle; `tip` is what a pointer that rests on it reads."""
        self._add(
            "rect", tip, x=_px(x), y=_px(y), width=_px(max(0.0, width)), height=_px(max(0.0, height)),
            fill=paint(colour), fill_opacity=_maybe(opacity),
        )  # fmt: skip

    def dot(
        self, x: float, y: float, colour: Colour, *, shape: str = "circle", filled: bool = True,
        size: float = 4.0, tip: str | None = None,
    ) -> None:  # fmt: skip
        """Draw a mark: a circle, a square or a triangle, filled or hollow."""
        style = {"fill": paint(colour if filled else "paper"), "stroke": paint(colour), "stroke_width": "1.6"}
        if shape == "circle":
            self._add("circle", tip, cx=_px(x), cy=_px(y), r=_px(size), **style)
        elif shape == "square":
            side = _px(2 * size)
            self._add("rect", tip, x=_px(x - size), y=_px(y - size), width=side, height=side, **style)
        else:
            corners = [
                (x, y - 1.2 * size),
                (x + 1.15 * size, y + 0.85 * size),
                (x - 1.15 * size, y + 0.85 * size),
            ]
            self._add("path", tip, d="M" + "L".join(_steps(corners)) + "Z", **style)

    def text(
        self, x: float, y: float, text: str, *, colour: Colour = "ink", size: float = 11.0,
        anchor: Anchor = "start", bold: bool = False, turned: bool = False, halo: bool = False,
        stranger: bool = False, after: str = "", tip: str | None = None,
    ) -> None:  # fmt: skip
        """Write a text, and our own words after it.

        `stranger` keeps the direction of the text to itself, `halo` parts it from what lies below it.
        """
        element = self._add(
            "text", tip, x=_px(x), y=_px(y), fill=paint(colour), font_size=_px(size), text_anchor=anchor,
            font_weight="600" if bold else None,
            transform=f"rotate(-90 {_px(x)} {_px(y)})" if turned else None,
            stroke=paint("paper") if halo else None, stroke_width="3" if halo else None,
            stroke_linejoin="round" if halo else None, paint_order="stroke" if halo else None,
        )  # fmt: skip
        shown = visible(text, 300)
        shown = (isolated(shown) if stranger else shown) + after
        if tip is None:
            element.text = shown
        else:
            element[0].tail = shown

    def place(self, other: Drawing, x: float, y: float) -> None:
        """Put another drawing on this one."""
        group = ElementTree.SubElement(self.root, "g", transform=f"translate({_px(x)} {_px(y)})")
        group.extend(other.root)

    def _add(self, name: str, tip: str | None = None, **attributes: str | None) -> ElementTree.Element:
        given = {key.replace("_", "-"): value for key, value in attributes.items() if value is not None}
        element = ElementTree.SubElement(self.root, name, given)
        if tip is not None:
            ElementTree.SubElement(element, "title").text = visible(tip, 300)
        return element

    def to_svg(self, title: str, description: str) -> str:
        """Write the drawing as SVG that names and describes itself.

        Parameters
        ----------
        title, description : str
            What is seen, for who cannot see it.
        """
        svg = ElementTree.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {_px(self.width)} {_px(self.height)}",
                "width": _px(self.width), "height": _px(self.height), "role": "img",
                "aria-label": visible(title, 200),
                "font-family": "system-ui, Lato, sans-serif",
            },
        )  # fmt: skip
        ElementTree.SubElement(svg, "title").text = visible(title, 200)
        ElementTree.SubElement(svg, "desc").text = visible(description, 2000)
        svg.append(self.root)
        return ElementTree.tostring(svg, encoding="unicode")


def _steps(points: Iterable[tuple[float, float]]) -> list[str]:
    return [f"{_px(x)} {_px(y)}" for x, y in points]


def _px(value: float) -> str:
    """Write pixels to a tenth: finer is not seen, and the same on every machine."""
    text = f"{value:.1f}" if abs(value) >= 1 or value == 0 else f"{value:.2f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _maybe(value: float | None) -> str | None:
    return None if value is None else _px(value)
