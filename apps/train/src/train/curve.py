"""The loss curve of a run, drawn from its metrics."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from trainkit import Metrics, replace_file
from trainkit.report import read_run

_BLUE, _ORANGE, _GREY = "#3b76af", "#ef8636", "#808080"


class CurveLogger:
    """Redraws `loss.png` in a run's directory after each evaluation.

    Args:
        directory: The run's, where `metrics.jsonl` grows.
        entropy: Of the source of the validation text, nats a token: no model gets below.
    """

    def __init__(self, directory: Path, *, entropy: float | None = None) -> None:
        self._directory = directory
        self._entropy = entropy

    def log(self, step: int, metrics: Metrics) -> None:
        """Draws anew where `metrics` are those of an evaluation."""
        if "valid_loss" in metrics:
            draw_curve(self._directory, self._entropy)

    def close(self) -> None:
        """Nothing is open between drawings."""


def draw_curve(directory: Path, entropy: float | None = None) -> None:
    """Draws training and validation loss of the run in `directory` into its `loss.png`."""
    lines = read_run(directory).metrics
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _draw_metric(axes, lines, "loss", color=_BLUE, linewidth=0.8, label="training batch")
    _draw_metric(axes, lines, "valid_loss", color=_ORANGE, marker="o", label="validation")
    if entropy is not None:
        axes.axhline(entropy, color=_GREY, linestyle="--", label=f"the source: {entropy:.3f}")
    axes.set(title=directory.name, xlabel="step", ylabel="nats a token", yscale="log")
    axes.yaxis.set_major_formatter("{x:.3g}")
    axes.yaxis.set_minor_formatter("{x:.3g}")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    with replace_file(directory / "loss.png") as file:
        figure.savefig(file, format="png")


def _draw_metric(axes: Axes, lines: list[dict[str, float]], name: str, **style: Any) -> None:
    points = [(line["step"], line[name]) for line in lines if name in line]
    if points:
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, **style)
