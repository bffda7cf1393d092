"""The runs of experiments/batch_size.toml."""

from experiment_curves import draw_curves
from matplotlib.figure import Figure


def draw() -> Figure:
    """A line for each batch size, with its seeds' range around it."""
    return draw_curves("batch_size", by="tokens")
