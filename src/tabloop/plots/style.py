"""How every plot looks: colours that colour-blind eyes tell apart, one font, quiet axes."""

from __future__ import annotations

from typing import Any

#: Okabe and Ito's colours, told apart by colour-blind eyes too; yellow is left out, white paper swallows it.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")

#: The colours of text, and of lines behind the data.
INK, FAINT = "#222222", "#8A8A8A"

#: The settings for `matplotlib.rc_context`.
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture on every machine
    "font.size": 10,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "svg.hashsalt": "tabloop",
}
