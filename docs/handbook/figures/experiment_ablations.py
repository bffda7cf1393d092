"""The runs of experiments/ablations.toml."""

from experiment_curves import draw_curves
from matplotlib.figure import Figure


def draw() -> Figure:
    """A line for each point of the sweep, with its seeds' range around it."""
    return draw_curves("ablations")
