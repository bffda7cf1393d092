"""The way of the residual stream through a block, with the norms off it and on it."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from style import COLORS, INK, axes

LINE, BRANCH = 0.0, 1.6  # heights of the stream and of the parts beside it
HALF = 0.5  # half of a part's width
BOX = {"boxstyle": "round,pad=0.35", "linewidth": 1.2, "facecolor": "none"}


def arrow(ax: Axes, *points: tuple[float, float]) -> None:
    """A line through the points, with a head at its end."""
    *start, end = points
    ax.plot(*zip(*points, strict=True), color=INK, linewidth=1.2)
    ax.annotate("", end, start[-1], arrowprops={"arrowstyle": "->", "color": INK})


def box(ax: Axes, x: float, y: float, name: str) -> None:
    """A part of the block."""
    color = COLORS[1] if name == "norm" else COLORS[0]
    ax.text(x, y, name, ha="center", va="center", bbox=BOX | {"edgecolor": color})


def step(ax: Axes, left: float, part: str, *, pre: bool) -> float:
    """One residual step, from where it leaves the stream; returns where the next may."""
    plus = left + 3.4
    center = left + (2.35 if pre else 1.7)
    arrow(ax, (left, LINE), (left, BRANCH), (left + 0.45 if pre else center - HALF, BRANCH))
    if pre:
        box(ax, left + 0.45 + HALF, BRANCH, "norm")
        arrow(ax, (left + 0.45 + 2 * HALF, BRANCH), (center - HALF, BRANCH))
    box(ax, center, BRANCH, part)
    arrow(ax, (center + HALF, BRANCH), (plus, BRANCH), (plus, LINE + 0.3))
    arrow(ax, (left, LINE), (plus - 0.2, LINE))
    ax.text(plus, LINE, "+", ha="center", va="center", fontsize=16, color=COLORS[2])
    if pre:
        ax.plot((plus + 0.2, plus + 1), (LINE, LINE), color=INK, linewidth=1.2)
        return plus + 1
    arrow(ax, (plus + 0.2, LINE), (plus + 0.6, LINE))
    box(ax, plus + 0.6 + HALF, LINE, "norm")
    ax.plot((plus + 0.6 + 2 * HALF, plus + 2), (LINE, LINE), color=INK, linewidth=1.2)
    return plus + 2


def draw() -> Figure:
    """Pre-norm above, post-norm below."""
    panels = axes(7.5, 4.2, rows=2)
    for ax, pre in zip(panels, (True, False), strict=True):
        ax.plot((0.1, 0.8), (LINE, LINE), color=INK, linewidth=1.2)
        end = step(ax, step(ax, 0.8, "attn", pre=pre), "ffn", pre=pre)
        arrow(ax, (end, LINE), (end + 0.3, LINE))
        ax.text(-0.1, LINE, "x", ha="center", va="center")
        ax.text(end + 0.5, LINE, "z", ha="center", va="center")
        ax.set(title="norm='pre'" if pre else "norm='post'", xlim=(-0.3, 12.4), ylim=(-0.6, 2.3))
        ax.axis("off")
    return panels[0].figure
