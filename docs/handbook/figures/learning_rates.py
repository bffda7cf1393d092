"""The toy study of learning rates: a greater one is faster, until it diverges."""

import runpy

from matplotlib.figure import Figure
from style import axes

LEAST = 1e-6  # below, there is only rounding to see


def draw() -> Figure:
    """A line for each rate."""
    example = runpy.run_path("packages/optimkit/examples/learning_rates.py")
    (ax,) = axes()
    for lr in example["RATES"]:
        losses = [max(loss, LEAST) for loss in example["study"](lr)]
        ax.plot(losses, marker="o", markersize=3, label=f"lr = {lr:,.0f}")
    ax.set(yscale="log", xlabel="updates", ylabel="mean of w²")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax.figure
