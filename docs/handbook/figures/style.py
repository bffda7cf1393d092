"""How the handbook's figures look: one style, readable on light and on dark paper."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, FAINT = "#24292f", "#d0d7df"
_DARK = {INK: "#d5dae1", FAINT: "#454c56"}

# Hues of Okabe and Ito (2008), told apart by the colour-blind, of a lightness that
# stands out from white and from black.
COLORS = ["#2583c4", "#d9722a", "#2a9d75", "#c2679f", "#a98a1c", "#6f7fd8"]

_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.prop_cycle": cycler(color=COLORS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": "medium",
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "grid.color": FAINT,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "savefig.transparent": True,
    "svg.fonttype": "path",  # the same letters, as wide, on every machine
    "svg.hashsalt": "groundup",  # ids are the same in every run
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def axes(width: float = 7, height: float = 3, rows: int = 1, columns: int = 1) -> list[Axes]:
    """Axes, row by row, on a new figure of `width` by `height` inches: `axes()[0].figure`."""
    # Figure, not pyplot: no window system, and nothing global is left behind.
    grid = Figure(figsize=(width, height)).subplots(rows, columns, squeeze=False)
    return list(grid.flat)


def svg(draw: Callable[[], Figure]) -> str:
    """The SVG of what `draw` draws, the same in every run; ink turns light on a dark page."""
    file = io.StringIO()
    with mpl.rc_context(_STYLE):
        draw().savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    dark = "".join(
        f'[style*="{name}: {ink}"]{{{name}:{light}!important}}'
        for ink, light in _DARK.items()
        for name in ("fill", "stroke")
    )
    style = f"<style>@media (prefers-color-scheme: dark){{{dark}}}</style>"
    return file.getvalue().replace("<defs>", f"{style}<defs>", 1)


def results(name: str) -> Any:
    """What `results/NAME.json`, beside the figures, holds."""
    path = Path(__file__).parents[1] / "results" / f"{name}.json"
    return json.loads(path.read_text("utf-8"))
