"""What RoPE does to the pairs of a vector, position by position."""

import math

from matplotlib.figure import Figure
from matplotlib.patches import Circle
from style import COLORS, FAINT, axes

THETA, HEAD_DIM, POSITIONS = 10_000.0, 8, 8


def draw() -> Figure:
    """One circle a pair: the same vector, turned to where each position puts it."""
    panels = axes(8, 2.5, columns=HEAD_DIM // 2)
    for pair, ax in enumerate(panels):
        frequency = THETA ** (-2 * pair / HEAD_DIM)
        for position in reversed(range(POSITIONS)):  # position 0 is drawn last, on top
            angle = position * frequency
            tip = (math.cos(angle), math.sin(angle))
            color = COLORS[1] if position == 0 else COLORS[0]
            arrow = {"arrowstyle": "->", "color": color, "alpha": 1 - 0.1 * position}
            ax.annotate("", tip, (0, 0), arrowprops=arrow)
            if pair == 0:
                ax.annotate(str(position), (1.18 * tip[0], 1.18 * tip[1]), ha="center", va="center")
        turn = 2 * math.pi / frequency
        ax.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), xticks=(), yticks=(), aspect="equal")
        ax.set_title(f"pair {pair}: once in {turn:,.{1 if turn < 100 else 0}f}")
        ax.spines[:].set_visible(False)
        ax.add_patch(Circle((0, 0), 1, fill=False, edgecolor=FAINT))
    return panels[0].figure
