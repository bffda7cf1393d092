"""How the runs of an experiment are drawn: loss against steps, and against seconds."""

from matplotlib.figure import Figure
from style import COLORS, axes, results


def draw_curves(name: str) -> Figure:
    """Validation loss of each run of the sweep `name`, against steps and seconds."""
    points = results("experiments")[name]["points"]
    by_step, by_second = axes(8, 4.2, columns=2)
    for number, (label, point) in enumerate(points.items()):
        style = {
            "color": COLORS[number % len(COLORS)],
            "marker": ".",
            "label": label.removeprefix("max-lr="),
        }
        losses = point["valid"]["valid_loss"]
        by_step.plot(point["valid"]["step"], losses, **style)
        by_second.plot(point["valid"]["seconds"], losses, **style)
    for ax in (by_step, by_second):
        ax.set(yscale="log")
        ax.yaxis.set_major_formatter("{x:.3g}")
        ax.yaxis.set_minor_formatter("{x:.3g}")
    by_step.set(xlabel="step", ylabel="validation loss, nats a token")
    by_second.set(xlabel="seconds, on a busy machine")
    by_second.legend(fontsize="small")
    return by_step.figure
