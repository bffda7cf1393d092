"""The tables of a report: how far each run came, how it was configured, where runs differ."""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from trainkit.report.axis import short_number
from trainkit.report.chart import run_classes
from trainkit.report.markup import element
from trainkit.report.run_record import RunRecord

Leaves = dict[str, str]
_ABSENT = "-"


def draw_headline(run: RunRecord) -> Element:
    """How far one run came, in large figures."""
    pairs = (
        element("div", element("dt", name), element("dd", figure))
        for name, figure in _figures(run).items()
    )
    return element("dl", *pairs, class_="headline")


def draw_run_table(runs: Sequence[RunRecord]) -> Element:
    """How far each of several runs came; it is the legend of the charts, too."""
    rows = [_figures(run) for run in runs]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    body = [
        element(
            "tr",
            element("th", _chip(index), run.name, scope="row"),
            *(element("td", row.get(name, _ABSENT)) for name in columns),
        )
        for index, (run, row) in enumerate(zip(runs, rows, strict=True))
    ]
    return _scrollable(element("table", _head_row(["run", *columns]), *body, class_="figures"))


def draw_config(run: RunRecord) -> list[Element]:
    """Everything in a run's `config.json`, a table for each part of it."""
    single = {key: value for key, value in run.config.items() if not isinstance(value, Mapping)}
    groups = {key: value for key, value in run.config.items() if isinstance(value, Mapping)}
    if single:
        groups["run"] = single
    return [
        element(
            "section",
            element("h3", name.replace("_", " ")),
            element("table", *(_row(key, [value]) for key, value in leaves(group).items())),
        )
        for name, group in groups.items()
    ]


def draw_differences(runs: Sequence[RunRecord]) -> Element:
    """The fields in which the runs' `config.json` differ, a column for each run."""
    differing = differences([run.config for run in runs])
    if not differing:
        return element("p", "The runs were configured alike.")
    head = _head_row(["field", *(run.name for run in runs)])
    rows = (_row(name, values) for name, values in differing.items())
    return _scrollable(element("table", head, *rows))


def differences(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The fields in which `configs` differ, with the value in each; "-" where one has no such.

    A field that says the same as another of its name (`asked.model.d_model`, `model.d_model`) is
    left out: the one with the shorter path stays.
    """
    flat = [leaves(config) for config in configs]
    rows = {path: [each.get(path, _ABSENT) for each in flat] for leaf in flat for path in leaf}
    said: set[tuple[str, ...]] = set()
    kept: set[str] = set()
    for path in sorted(rows, key=lambda path: path.count(".")):
        fact = (path.rpartition(".")[2], *rows[path])
        if len(set(rows[path])) > 1 and fact not in said:
            kept.add(path)
        said.add(fact)
    return {path: values for path, values in rows.items() if path in kept}


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Leaves:
    """The values in a tree of mappings, by their paths: {"a": {"b": 1}} is {"a.b": "1"}."""
    flat: Leaves = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        flat |= leaves(value, f"{path}.") if isinstance(value, Mapping) else {path: _words(value)}
    return flat


def _figures(run: RunRecord) -> dict[str, str]:
    """The figures that say how far a run came; those it does not know are left out."""
    steps = max((line["step"] for line in run.metrics), default=0.0)
    known = {
        "validation loss": _number(run.best("valid_loss"), 4),
        "bits a byte": _number(run.best("valid_bits_per_byte"), 4),
        "steps": f"{steps:,.0f}",
        "tokens": short_number(run.last("tokens") or 0.0),
        "time": _duration(run.last("wall_seconds")),
        "tokens a second": _median_speed(run),
    }
    return {name: figure for name, figure in known.items() if figure is not None}


def _number(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"


def _median_speed(run: RunRecord) -> str | None:
    speeds = sorted(line["tokens_per_second"] for line in run.series("tokens_per_second"))
    return short_number(speeds[len(speeds) // 2]) if speeds else None


def _duration(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02} min"


def _words(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _row(name: str, values: Sequence[str]) -> Element:
    return element(
        "tr", element("th", name, scope="row"), *(element("td", value) for value in values)
    )


def _head_row(names: Sequence[str]) -> Element:
    return element("tr", *(element("th", name, scope="col") for name in names))


def _scrollable(table: Element) -> Element:
    """A table that scrolls by itself where it is wider than the page."""
    return element("div", table, class_="scroll")


def _chip(run: int) -> Element:
    line = element("line", class_=run_classes(run), x1=0, x2=18, y1=5, y2=5)
    return element("svg", line, class_="chip", viewBox="0 0 18 10", width=18, height=10)
