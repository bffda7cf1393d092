"""How the runs of an experiment are drawn: loss against steps, and against seconds."""

from matplotlib.figure import Figure
from style import COLORS, INK, axes, results


def draw_curves(name: str, across: str = "step") -> Figure:
    """Validation loss of each run of the sweep `name`, against steps (or tokens) and seconds."""
    record = results("experiments")[name]
    by_step, by_second = axes(8, 4.2, columns=2)
    for number, (label, point) in enumerate(record["points"].items()):
        style = {
            "color": COLORS[number % len(COLORS)],
            "marker": ".",
            "label": label.removeprefix("max-lr="),
        }
        losses = point["valid"]["valid_loss"]
        share = [100 * step / point["steps"] for step in point["valid"]["step"]]
        by_step.plot(share if across == "tokens" else point["valid"]["step"], losses, **style)
        by_second.plot(point["valid"]["seconds"], losses, **style)
    for ax in (by_step, by_second):
        ax.axhline(record["source_entropy"], color=INK, linestyle="--", linewidth=1)
        ax.set(yscale="log")
        ax.yaxis.set_major_formatter("{x:.3g}")
        ax.yaxis.set_minor_formatter("{x:.3g}")
    by_step.set(xlabel="% of the tokens" if across == "tokens" else "step")
    by_step.set(ylabel="validation loss, nats a token")
    by_second.set(xlabel="seconds, on a busy machine")
    by_second.legend(fontsize="small")
    return by_step.figure
