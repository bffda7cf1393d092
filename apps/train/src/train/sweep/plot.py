"""One picture of a sweep: validation loss against steps and against seconds, a line a point."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from trainkit import replace_file
from trainkit.report import RunRecord, read_run


def draw_sweep(directories: Sequence[Path], path: Path) -> None:
    """Draws the runs in `directories` into the PNG file `path`; those without metrics are left out.

    Raises:
        ValueError: a run's file is damaged.
    """
    runs = [read_run(each) for each in directories if (each / "metrics.jsonl").is_file()]
    if not runs:
        return
    figure = Figure(figsize=(11, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    by_step, by_second = figure.subplots(1, 2, sharey=True)
    _draw(by_step, runs, "step")
    _draw(by_second, runs, "wall_seconds")
    by_step.set(xlabel="step", ylabel="validation loss, nats a token", yscale="log")
    by_second.set(xlabel="seconds")
    by_step.yaxis.set_major_formatter("{x:.3g}")
    by_step.yaxis.set_minor_formatter("{x:.3g}")
    handles, labels = by_step.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize="small")
    with replace_file(path) as file:
        figure.savefig(file, format="png")


def _draw(axes: Axes, runs: Sequence[RunRecord], against: str) -> None:
    # Along a map, not round a cycle: the points of an axis are in order, and so are its colours.
    colors = colormaps["viridis"].resampled(len(runs) + 1)
    for number, run in enumerate(runs):
        # A run that diverged before its first evaluation has no line, but has its name.
        lines = run.series("valid_loss")
        axes.plot(
            [line[against] for line in lines],
            [line["valid_loss"] for line in lines],
            color=colors(number),
            marker=".",
            label=run.name,
        )
    axes.grid(alpha=0.3, which="both")
