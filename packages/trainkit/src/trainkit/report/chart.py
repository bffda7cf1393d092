"""A chart of one or several runs, as SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree.ElementTree import Element

from trainkit.report.axis import Axis, short_number
from trainkit.report.markup import element

Point = tuple[float, float]

# In units of the SVG, which the page scales to the width that there is.
_WIDTH, _HEIGHT = 440.0, 240.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 10.0, 8.0, 34.0
_NUM_COLOURS = 8  # in page.css
_MAX_POINTS = 600
_MAX_DOTS = 60


@dataclass(frozen=True)
class Curve:
    """One curve: what it is called, which run it is of, and its points."""

    name: str
    run: int
    points: Sequence[Point]
    is_thin: bool = False
    """Drawn faintly and without marks: a value that jumps from step to step."""


@dataclass(frozen=True)
class Level:
    """A value to compare with, as a dashed line."""

    name: str
    value: float


def draw_chart(
    curves: Sequence[Curve],
    *,
    label: str,
    x_name: str,
    levels: Sequence[Level] = (),
    is_log: bool = False,
    from_zero: bool = False,
) -> Element:
    """Draws curves over each other.

    The points in the SVG are the data itself (decimal logarithms on a logarithmic axis), and a
    transform brings them to their places: page.js reads the values under the pointer from there.

    Args:
        curves: their points in rising order of x; those that are not finite are left out, as
            are x of which there is no value.
        label: what the chart shows, for those who cannot see it.
        x_name: what x is.
        levels: values to compare with.
        is_log: whether y is logarithmic, where all values allow it.
        from_zero: whether y begins at 0.
    """
    finite = [[p for p in curve.points if all(map(math.isfinite, p))] for curve in curves]
    x_axis = Axis.around(x for points in finite for x, _ in points)
    values = [y for points in finite for _, y in points] + [level.value for level in levels]
    y_axis = Axis.around(values, is_log=is_log, from_zero=from_zero)
    drawn = [
        part
        for curve, points in zip(curves, finite, strict=True)
        if points
        for part in _curve(curve, points, x_axis, y_axis)
    ]
    return element(
        "svg",
        *_y_ticks(y_axis),
        *_x_ticks(x_axis),
        element("text", x_name, class_="name", x=_WIDTH - _RIGHT, y=_HEIGHT - 3),
        *(_level(level, y_axis) for level in levels),
        *drawn,
        class_="chart log" if y_axis.is_log else "chart",
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        role="img",
        aria_label=label,
        data_x=x_name,
    )


def thin_out(points: Sequence[Point], max_points: int = _MAX_POINTS) -> list[Point]:
    """At most `max_points` of many points: the lowest and the highest of each stretch.

    So a spike stays in sight, however long the run. First and last stay, too.
    """
    if len(points) <= max_points:
        return list(points)
    stretches = (max_points - 2) // 2
    bounds = [1 + (len(points) - 2) * i // stretches for i in range(stretches + 1)]
    kept = {0, len(points) - 1}
    for start, stop in pairwise(bounds):
        stretch = range(start, stop)
        kept |= {min(stretch, key=lambda i: points[i][1]), max(stretch, key=lambda i: points[i][1])}
    return [points[index] for index in sorted(kept)]


def run_classes(run: int) -> str:
    """The CSS classes of a run: a colour, and a dash where the colours begin anew."""
    return f"run c{run % _NUM_COLOURS} d{run // _NUM_COLOURS % 3}"


def _curve(curve: Curve, points: list[Point], x_axis: Axis, y_axis: Axis) -> list[Element]:
    pairs = [f"{x:.7g},{y_axis.scaled(y):.6g}" for x, y in thin_out(points)]
    classes, transform = run_classes(curve.run), _transform(x_axis, y_axis)
    line = element(
        "polyline",
        class_=f"{classes} thin" if curve.is_thin else classes,
        points=" ".join(pairs),
        transform=transform,
        data_name=curve.name,
    )
    if (curve.is_thin and len(pairs) > 1) or len(pairs) > _MAX_DOTS:
        return [line]
    # A line of no length has round ends alone: a dot. A marker would be stretched by the transform.
    dots = "".join(f"M{pair}h0" for pair in pairs)
    return [line, element("path", class_=f"{classes} dots", d=dots, transform=transform)]


def _transform(x_axis: Axis, y_axis: Axis) -> str:
    """The matrix from (scaled) data to the units of the SVG, whose y grows downwards."""
    bottom, top = y_axis.scaled(y_axis.low), y_axis.scaled(y_axis.high)
    width = (_WIDTH - _LEFT - _RIGHT) / (x_axis.high - x_axis.low)
    height = (_HEIGHT - _TOP - _BOTTOM) / (top - bottom)
    left, down = _LEFT - width * x_axis.low, _HEIGHT - _BOTTOM + height * bottom
    return f"matrix({width:.10g} 0 0 {-height:.10g} {left:.10g} {down:.10g})"


def _x(axis: Axis, value: float) -> float:
    return round(_LEFT + axis.position(value) * (_WIDTH - _LEFT - _RIGHT), 1)


def _y(axis: Axis, value: float) -> float:
    return round(_HEIGHT - _BOTTOM - axis.position(value) * (_HEIGHT - _TOP - _BOTTOM), 1)


def _y_ticks(axis: Axis) -> list[Element]:
    marks: list[Element] = []
    for tick in axis.ticks():
        y = _y(axis, tick)
        marks.append(element("line", class_="grid", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y))
        marks.append(element("text", short_number(tick), class_="y", x=_LEFT - 6, y=y + 3.5))
    return marks


def _x_ticks(axis: Axis) -> list[Element]:
    y = _HEIGHT - _BOTTOM + 15
    return [
        element("text", short_number(tick), class_="x", x=_x(axis, tick), y=y)
        for tick in axis.ticks()
    ]


def _level(level: Level, axis: Axis) -> Element:
    y = _y(axis, level.value)
    return element(
        "g",
        element("line", class_="level", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y),
        element("text", level.name, class_="level", x=_LEFT + 4, y=y - 5),
    )
