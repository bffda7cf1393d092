"""Norm of the gradient before clipping, at every update of a real run."""

from matplotlib.figure import Figure
from style import COLORS, FAINT, axes, results


def draw() -> Figure:
    """The norms of all updates above, those of the first hundred below, with the limit."""
    run = results("stories_run")
    norms, limit = run["grad_norms"], run["max_grad_norm"]
    figure_axes = axes(7, 4, rows=2)
    for ax, count in zip(figure_axes, (len(norms), 100), strict=True):
        steps = range(1, count + 1)
        after = [min(norm, limit) for norm in norms[:count]]
        ax.plot(steps, norms[:count], color=COLORS[1], linewidth=0.8, label="before clipping")
        ax.plot(steps, after, color=COLORS[0], linewidth=0.8, label="after")
        ax.axhline(limit, color=FAINT, linestyle="--")
        ax.set_yscale("log")
        ax.minorticks_off()
        ax.set_yticks([0.2, 0.5, 1], ["0.2", "0.5", "1"])
        ax.set(ylabel="norm", xlim=(1, count))
    figure_axes[0].legend(loc="upper right", ncols=2)
    figure_axes[1].set(xlabel="update")
    return figure_axes[0].figure
