"""How the runs of an experiment are drawn: loss against steps, and against seconds."""

from collections import defaultdict
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from style import COLORS, axes, results


def draw_curves(name: str, by: str = "step") -> Figure:
    """Validation loss at each point of the sweep `name`, its seeds' mean and range.

    Args:
        name: of the sweep.
        by: what the left half counts: "step", or "tokens" where points differ in batch size.
    """
    experiment = results("experiments")[name]
    seeds = defaultdict(list)
    for label, point in experiment["points"].items():
        seeds[label.split("_seed=")[0]].append(point)
    left, by_second = axes(8, 4.2, columns=2)
    for number, (label, points) in enumerate(seeds.items()):
        color = COLORS[number % len(COLORS)]
        losses = _evaluations(points, "valid_loss")
        mean, low, high = losses.mean(0), losses.min(0), losses.max(0)
        for ax, metric in ((left, by), (by_second, "seconds")):
            x = _evaluations(points, metric).mean(0)
            look = {"color": color, "marker": "."} if len(x) else {"linestyle": ""}
            ax.plot(x, mean, label=_label(label, points), **look)
            ax.fill_between(x, low, high, color=color, alpha=0.25, linewidth=0)
    for ax in (left, by_second):
        ax.set(yscale="log")
        ax.yaxis.set_major_formatter("{x:.3g}")
        low, high = ax.get_ylim()
        # Within a decade the labels of powers of ten alone would be one or none.
        ax.yaxis.set_minor_formatter("{x:.3g}" if high < 10 * low else NullFormatter())
    left.locator_params(axis="x", nbins=4)
    left.xaxis.set_major_formatter("{x:,.0f}")
    left.set(xlabel=by, ylabel="validation loss, nats a token")
    by_second.set(xlabel="seconds, on a busy machine")
    by_second.legend(fontsize="small")
    return left.figure


def _label(name: str, points: list[dict[str, Any]]) -> str:
    """What varies, and where it came to nothing."""
    name = name.removeprefix("max-lr=")
    if all(point["state"] == "diverged" for point in points):
        return f"{name}: NaN by step {max(point['steps'] for point in points)}"
    return name


def _evaluations(points: list[dict[str, Any]], metric: str) -> np.ndarray:
    """`(seeds, evaluations)`; as many as all seeds have, for one may have diverged."""
    rows = [point["valid"][metric] for point in points]
    shortest = min(map(len, rows))
    return np.array([row[:shortest] for row in rows])
