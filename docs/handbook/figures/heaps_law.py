"""Distinct pretokens against bytes read, and the law fitted to them."""

import numpy as np
from matplotlib.figure import Figure
from style import COLORS, axes, results


def draw() -> Figure:
    """A point for each part measured, a line for each fit."""
    (plot,) = axes(height=3.4)
    for color, (name, corpus) in zip(COLORS, results("scaling")["corpora"].items(), strict=False):
        size, distinct = (
            np.array([point[key] for point in corpus["growth"]]) for key in ("bytes", "distinct")
        )
        law = corpus["heaps"]
        plot.loglog(size, law["k"] * size ** law["beta"], color=color)
        label = f"{name}: {law['k']:.2g} · bytes^{law['beta']:.2f}"
        plot.loglog(size, distinct, "o", color=color, label=label)
    plot.set(xlabel="bytes of text", ylabel="distinct pretokens")
    plot.legend()
    return plot.figure
