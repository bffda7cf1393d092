"""Which charts a report has: a few that are known by name, and one for any metric besides."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from trainkit.report.chart import Curve, Level, draw_chart
from trainkit.report.markup import element
from trainkit.report.run_record import RunRecord


@dataclass(frozen=True)
class ChartKind:
    """A chart of one or two metrics."""

    title: str
    unit: str
    metrics: tuple[str, ...]
    thin: str | None = None
    """The metric among them that jumps from step to step."""
    is_log: bool = False
    from_zero: bool = False
    has_entropy: bool = False
    """Whether the entropy of the source is a level in it."""


_KNOWN = (
    ChartKind(
        "Loss",
        "nats a token; faint: training batch",
        ("loss", "valid_loss"),
        "loss",
        True,
        has_entropy=True,
    ),
    ChartKind("Bits a byte", "validation", ("valid_bits_per_byte",), is_log=True),
    ChartKind("Learning rate", "after the schedule", ("lr",), from_zero=True),
    ChartKind("Gradient norm", "before clipping", ("grad_norm",), is_log=True),
    ChartKind("Throughput", "tokens a second", ("tokens_per_second",), from_zero=True),
    ChartKind("Waiting for data", "share of time", ("data_wait_share",), from_zero=True),
)
_COUNTS = ("step", "tokens", "wall_seconds")  # what a metric is drawn against, or counts alike
_METRIC_NAMES = {"loss": "training batch", "valid_loss": "validation"}


def draw_charts(runs: Sequence[RunRecord]) -> list[Element]:
    """Every metric of `runs` against steps and against wall time."""
    return [_figure(kind, runs) for kind in _kinds(runs)]


def _kinds(runs: Sequence[RunRecord]) -> Iterator[ChartKind]:
    names = dict.fromkeys(name for run in runs for line in run.metrics for name in line)
    known = {name for kind in _KNOWN for name in kind.metrics}
    yield from (kind for kind in _KNOWN if names.keys() & set(kind.metrics))
    for name in names:
        if name not in known and name not in _COUNTS:
            yield ChartKind(name.replace("_", " ").capitalize(), "", (name,))


def _figure(kind: ChartKind, runs: Sequence[RunRecord]) -> Element:
    unit, divisor = _time_unit(runs)
    steps = _draw(kind, runs, "step", 1.0, "step")
    times = _draw(kind, runs, "wall_seconds", divisor, unit)
    times.set("class", f"{times.get('class')} by-time")
    steps.set("class", f"{steps.get('class')} by-step")
    caption = element(
        "figcaption", element("b", kind.title), " ", element("span", kind.unit, class_="unit")
    )
    if lost := _count_not_finite(kind, runs):
        caption.append(element("span", f"{lost} not finite, not drawn", class_="warning"))
    return element("figure", caption, steps, times)


def _draw(
    kind: ChartKind, runs: Sequence[RunRecord], x_metric: str, divisor: float, x_name: str
) -> Element:
    levels = _entropies(runs) if kind.has_entropy else []
    return draw_chart(
        [
            Curve(_curve_name(run, metric, kind, runs), index, points, metric == kind.thin)
            for index, run in enumerate(runs)
            for metric in kind.metrics
            if (points := _points(run, metric, x_metric, divisor))
        ],
        label=f"{kind.title} against {x_name}",
        x_name=x_name,
        levels=levels,
        is_log=kind.is_log,
        from_zero=kind.from_zero,
    )


def _points(
    run: RunRecord, metric: str, x_metric: str, divisor: float
) -> list[tuple[float, float]]:
    lines = run.series(metric)
    return [(line[x_metric] / divisor, line[metric]) for line in lines if x_metric in line]


def _curve_name(run: RunRecord, metric: str, kind: ChartKind, runs: Sequence[RunRecord]) -> str:
    """What tells a curve from the others of its chart."""
    names = [run.name] if len(runs) > 1 else []
    if len(kind.metrics) > 1:
        names.append(_METRIC_NAMES[metric])
    return ", ".join(names) or kind.title.lower()


def _entropies(runs: Sequence[RunRecord]) -> list[Level]:
    found = [run.config.get("source_entropy") for run in runs]
    values = sorted({float(value) for value in found if value is not None})
    return [Level(f"the source's entropy {value:.3f}", value) for value in values]


def _count_not_finite(kind: ChartKind, runs: Sequence[RunRecord]) -> int:
    return sum(
        not math.isfinite(line[metric])
        for run in runs
        for metric in kind.metrics
        for line in run.series(metric)
    )


def _time_unit(runs: Sequence[RunRecord]) -> tuple[str, float]:
    """The unit that the longest run is told in, and its seconds."""
    longest = max((run.last("wall_seconds") or 0.0 for run in runs), default=0.0)
    units = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
    return next((unit for unit in units if longest >= 2 * unit[1]), units[-1])
