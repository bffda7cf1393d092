"""The way of the residual stream through a block, with the norms off it and on it."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from style import COLORS, INK, axes

LINE, BRANCH = 0.0, 1.6  # heights of the stream and of the parts beside it
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


def step(ax: Axes, left: float, part: str, *, pre: bool) -> None:
    """One residual step, five wide."""
    right = left + 3.4
    arrow(ax, (left, LINE), (left, BRANCH), (left + (0.35 if pre else 1.0), BRANCH))
    if pre:
        box(ax, left + 0.9, BRANCH, "norm")
        arrow(ax, (left + 1.4, BRANCH), (left + 1.75, BRANCH))
    box(ax, left + (2.3 if pre else 1.6), BRANCH, part)
    arrow(ax, (left + (2.85 if pre else 2.2), BRANCH), (right, BRANCH), (right, LINE + 0.3))
    arrow(ax, (left - 0.6, LINE), (right - 0.3, LINE))
    ax.text(right, LINE, "+", ha="center", va="center", fontsize=16, color=COLORS[2])
    end = left + 5.0
    if pre:
        ax.plot((right + 0.3, end), (LINE, LINE), color=INK, linewidth=1.2)
    else:
        arrow(ax, (right + 0.3, LINE), (right + 0.6, LINE))
        box(ax, right + 1.1, LINE, "norm")


def draw() -> Figure:
    """Pre-norm above, post-norm below."""
    panels = axes(7.5, 4.2, rows=2)
    for ax, pre in zip(panels, (True, False), strict=True):
        step(ax, 0.6, "attn", pre=pre)
        step(ax, 5.6, "ffn", pre=pre)
        arrow(ax, (9.3 if pre else 10.6, LINE), (11.2, LINE))
        ax.text(-0.3, LINE, "x", ha="center", va="center")
        ax.text(11.5, LINE, "z", ha="center", va="center")
        ax.set(title="norm='pre'" if pre else "norm='post'", xlim=(-0.6, 11.8), ylim=(-0.6, 2.3))
        ax.axis("off")
    return panels[0].figure
