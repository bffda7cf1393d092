"""Where four heads of a trained model look."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from style import COLORS, axes, results

HEADS = [(0, 1), (1, 2), (1, 4), (1, 6)]  # (layer, head), chosen by eye
VISIBLE = 0.02  # of the 1 that a query has to give: less would be a dot
SIDE = 9.5  # points: a token's room in the figure


def draw_head(ax: Axes, weights: list[list[float]], tokens: list[str]) -> None:
    """A square for each weight, its area the weight; a row is a query."""
    looks = [
        (key, query, weight)
        for query, row in enumerate(weights)
        for key, weight in enumerate(row)
        if weight >= VISIBLE
    ]
    keys, queries, sizes = zip(*looks, strict=True)
    areas = [SIDE**2 * weight for weight in sizes]
    ax.scatter(keys, queries, areas, color=COLORS[0], marker="s", linewidths=0)
    places = range(len(tokens))
    ax.set(xlim=(-0.6, len(tokens) - 0.4), ylim=(len(tokens) - 0.4, -0.6), aspect="equal")
    ax.set_xticks(places, tokens, rotation=90, fontsize=8)
    ax.set_yticks(places, tokens, fontsize=8)
    ax.tick_params(length=0)


def draw() -> Figure:
    """Two heads a row; left of each its queries, below it the keys."""
    found = results("attention")
    tokens = [token.strip() for token in found["tokens"]]
    panels = axes(8, 8, rows=2, columns=2)
    for ax, (layer, head) in zip(panels, HEADS, strict=True):
        draw_head(ax, found["weights"][layer][head], tokens)
        ax.set_title(f"layers.{layer}, head {head}")
    return panels[0].figure
