"""The page of a report: HTML that holds all it needs, and asks nothing of any server."""

from collections.abc import Sequence
from importlib.resources import files
from os import PathLike
from pathlib import Path
from xml.etree.ElementTree import Element

from trainkit.atomic import replace_file
from trainkit.report.charts import draw_charts
from trainkit.report.markup import element, to_html
from trainkit.report.run_record import RunRecord, read_runs
from trainkit.report.tables import draw_config, draw_differences, draw_headline, draw_run_table

_NUM_SAMPLES_SHOWN = 6


def write_report(
    run_dirs: Sequence[str | PathLike[str]],
    out: str | PathLike[str],
    *,
    reload_seconds: int | None = None,
) -> None:
    """Writes the report of one run, or of several compared, as one HTML file.

    It shows every metric in `metrics.jsonl` against steps and wall time, the texts in
    `samples.jsonl` (lines with `step` and `text`), and what `config.json` says; the latter two
    may be missing. The file is replaced as a whole: a reader sees the old one or the new one.

    Args:
        run_dirs: directories of runs, in the order of the legend; runs may still be going on.
        out: the file to write.
        reload_seconds: how often the page is to load itself anew; None: not at all.

    Raises:
        ValueError: no run is given, or a file of one is damaged.
        FileNotFoundError: a directory holds no `metrics.jsonl`.
    """
    if not run_dirs:
        raise ValueError("a report needs at least one run directory, got none")
    page = draw_page(read_runs(run_dirs), reload_seconds=reload_seconds)
    with replace_file(Path(out)) as file:
        file.write(to_html(page))


def draw_page(runs: Sequence[RunRecord], *, reload_seconds: int | None = None) -> Element:
    """The page as a tree."""
    title = " · ".join(run.name for run in runs)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{title}, training report"),
        element("style", _asset("page.css")),
    )
    if reload_seconds is not None:
        head.append(element("meta", http_equiv="refresh", content=reload_seconds))
    body = element(
        "body",
        _header(runs, title, reload_seconds),
        _charts(runs),
        *_samples(runs),
        *_configs(runs),
        element("script", _asset("page.js")),
    )
    return element("html", head, body, lang="en")


def _header(runs: Sequence[RunRecord], title: str, reload_seconds: int | None) -> Element:
    header = element("header", element("p", "training report", class_="kind"))
    header.append(element("h1", title if len(runs) == 1 else f"{len(runs)} runs compared"))
    if reload_seconds is not None:
        words = f"The run goes on; this page reloads every {reload_seconds} seconds."
        header.append(element("p", words, class_="running"))
    header.append(draw_headline(runs[0]) if len(runs) == 1 else draw_run_table(runs))
    return header


def _charts(runs: Sequence[RunRecord]) -> Element:
    # The choice works without a script: page.css shows the charts of the button that is checked.
    choice = element(
        "div",
        "against ",
        _choice("by-step", "steps", is_checked=True),
        _choice("by-time", "wall time", is_checked=False),
        class_="choice",
    )
    charts = draw_charts(runs)
    nothing = [] if charts else [element("p", "No step has been logged yet.")]
    return element(
        "section",
        element("div", element("h2", "Curves"), choice, class_="title"),
        *nothing,
        element("div", *charts, class_="charts"),
    )


def _choice(name: str, words: str, *, is_checked: bool) -> Element:
    checked = "checked" if is_checked else None
    button = element("input", type="radio", name="x", id=name, checked=checked)
    return element("label", button, element("span", words))


def _samples(runs: Sequence[RunRecord]) -> list[Element]:
    lists = [part for run in runs if run.samples for part in _samples_of(run, len(runs) > 1)]
    return [element("section", element("h2", "Samples over time"), *lists)] if lists else []


def _samples_of(run: RunRecord, is_named: bool) -> list[Element]:
    """A few samples up to the last, of compared runs the last alone; and all a click away."""
    title = [element("h3", run.name)] if is_named else []
    count = len(run.samples)
    shown = 1 if is_named else min(count, _NUM_SAMPLES_SHOWN)
    some = [run.samples[count * number // shown - 1] for number in range(1, shown + 1)]
    parts = [*title, element("ol", *map(_sample, some), class_="samples")]
    if shown < count:
        summary = element("summary", f"all {count} samples")
        everything = element("ol", *map(_sample, run.samples), class_="samples")
        parts.append(element("details", summary, everything))
    return parts


def _sample(line: dict[str, object]) -> Element:
    text = element("p", str(line["text"]))
    return element("li", element("span", f"step {line['step']:,}", class_="step"), text)


def _configs(runs: Sequence[RunRecord]) -> list[Element]:
    if not any(run.config for run in runs):
        return []
    if len(runs) == 1:
        tables = element("div", *draw_config(runs[0]), class_="config")
        return [element("section", element("h2", "Configuration and environment"), tables)]
    whole = (
        element(
            "details",
            element("summary", f"all of {run.name}"),
            element("div", *draw_config(run), class_="config"),
        )
        for run in runs
    )
    differing = draw_differences(runs)
    return [element("section", element("h2", "Where the runs differ"), differing, *whole)]


def _asset(name: str) -> str:
    return files("trainkit.report").joinpath(name).read_text("utf-8")
