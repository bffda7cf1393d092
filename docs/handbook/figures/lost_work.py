"""The share of a run's time that checkpoints and failures cost, against the interval."""

import numpy as np
from matplotlib.figure import Figure
from style import axes

ACCELERATOR_HOURS = 16_384 * 54 * 24 / 419  # to a failure, as docs/scale.md has it
SAVE_SECONDS, RESTART_SECONDS = 5, 300


def draw() -> Figure:
    """A line for each number of accelerators, its lowest point marked."""
    (plot,) = axes(height=3.2)
    minutes = np.geomspace(1, 600, 200)
    for count in (64, 256, 1024):
        between = 3_600 * ACCELERATOR_HOURS / count
        interval = 60 * minutes
        lost = SAVE_SECONDS / interval + (interval / 2 + RESTART_SECONDS) / between
        best = int(np.argmin(lost))
        (line,) = plot.loglog(minutes, 100 * lost, label=f"{count:,} accelerators")
        plot.loglog(minutes[best], 100 * lost[best], "o", color=line.get_color())
    plot.set(xlabel="minutes from one checkpoint to the next", ylabel="% of the time lost")
    plot.legend()
    return plot.figure
