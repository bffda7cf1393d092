"""The report. Property: what a page shows is what the files say, and text stays text on it."""

import json
import math
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainkit import ReportLogger, write_report
from trainkit.report.__main__ import main
from trainkit.report.axis import Axis, short_number
from trainkit.report.chart import Curve, draw_chart, thin_out
from trainkit.report.markup import element, to_html
from trainkit.report.page import draw_page
from trainkit.report.run_record import RunRecord, read_run
from trainkit.report.tables import differences

VOID = {"meta", "input"}
numbers = st.floats(-1e9, 1e9)
# HTML itself has no place for NUL, surrogates and carriage returns: browsers replace them.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"))
trees = st.recursive(texts, lambda inner: st.dictionaries(texts, inner, max_size=3), max_leaves=8)


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text; fails where tags do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("style", "script"):
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def training_line(step: int, **more: float) -> dict[str, float]:
    line = {"step": step, "loss": 5.0 / step, "lr": 1e-3, "grad_norm": 1.0, "wall_seconds": step}
    return {**line, "tokens": 10 * step, "tokens_per_second": 10.0, **more}


def make_run(directory, *, steps=8, config=None, samples=()):
    directory.mkdir(parents=True)
    lines = [training_line(step) for step in range(1, steps + 1)]
    lines.append({"step": steps, "valid_loss": 1.5, "valid_bits_per_byte": 0.75, "wall_seconds": 9})
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if config is not None:
        (directory / "config.json").write_text(json.dumps(config))
    if samples:
        rows = [json.dumps({"step": i, "text": text}) + "\n" for i, text in enumerate(samples)]
        (directory / "samples.jsonl").write_text("".join(rows))
    return directory


def page_of(*run_dirs) -> Page:
    out = run_dirs[0] / "page.html"
    write_report(run_dirs, out)
    return Page(out.read_text("utf-8"))


def curves(page: Page, name: str) -> list[list[tuple[float, float]]]:
    """The points of the curves called `name`: against steps, then against time."""
    return [
        [tuple(map(float, pair.split(","))) for pair in line["points"].split()]
        for line in page.all("polyline")
        if line["data-name"] == name
    ]


def test_the_curves_hold_the_metrics_themselves(tmp_path):
    page = page_of(make_run(tmp_path / "run"))
    by_step, by_time = curves(page, "training batch")
    assert [x for x, _ in by_step] == [x for x, _ in by_time] == list(range(1, 9))
    losses = [10**y for _, y in by_step]  # the axis of the loss is logarithmic
    assert losses == pytest.approx([5.0 / step for step in range(1, 9)], rel=1e-5)
    assert curves(page, "learning rate") == [[(step, 1e-3) for step in range(1, 9)]] * 2
    assert "1.5000" in page.text
    assert "0.7500" in page.text


def test_a_metric_that_nobody_knows_gets_a_chart_of_its_own(tmp_path):
    directory = make_run(tmp_path / "run")
    with (directory / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 9, "wall_seconds": 9, "share_of_owls": 0.25}) + "\n")
    assert curves(page_of(directory), "share of owls") == [[(9, 0.25)]] * 2


def test_nothing_on_the_page_comes_from_elsewhere(tmp_path):
    run = make_run(tmp_path / "run", config={"model": {"d_model": 64}}, samples=["Once"])
    write_report([run, make_run(tmp_path / "other")], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    page = Page(text)
    assert not {"src", "href", "srcset", "data"} & {name for _, a in page.tags for name in a}
    assert "url(" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "import" not in text.partition("<style>")[2].partition("</style>")[0]
    assert "fetch" not in text.partition("<script>")[2]


@settings(max_examples=30)  # a whole page each
@given(name=texts, text=texts, config=st.dictionaries(texts, trees, max_size=3))
def test_text_stays_text(name, text, config):
    metrics = [{"step": 1.0, "loss": 2.0}]

    def page(name, text, config):
        runs = [RunRecord(name, metrics, [{"step": 1, "text": text}], config)] * 2
        return Page(to_html(draw_page(runs)).decode())

    found = page(name, text, config)
    assert text == "" or text in "".join(found.text)
    assert name == "" or name in "".join(found.text)
    plain = [tag for tag, _ in page("run", "text", config).tags]
    assert [tag for tag, _ in found.tags] == plain


@given(texts, texts)
def test_attributes_and_children_come_back_as_they_were(text, attribute):
    page = Page(to_html(element("p", text, element("b"), attribute, title=attribute)).decode())
    assert "".join(page.text) == text + attribute
    assert page.all("p") == [{"title": attribute}]


def test_half_a_surrogate_pair_does_not_stop_the_page():
    assert b"&#55357;" in to_html(element("p", "\ud83d"))


def test_values_that_are_not_finite_are_counted_not_drawn(tmp_path):
    directory = make_run(tmp_path / "run")
    with (directory / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(training_line(9, loss=math.nan)) + "\n")
        file.write(json.dumps(training_line(10, loss=math.inf)) + "\n")
        file.write(json.dumps(training_line(11, loss=None)) + "\n")  # as they are written now
        file.write(json.dumps({"step": 11, "valid_loss": None, "wall_seconds": 11}) + "\n")
    page = page_of(directory)
    assert [x for x, _ in curves(page, "training batch")[0]] == list(range(1, 9))
    assert "4 not finite, not drawn" in page.text
    assert read_run(directory).best("valid_loss") == 1.5


def test_a_line_not_yet_ended_is_left_for_later_and_a_damaged_one_is_named(tmp_path):
    directory = make_run(tmp_path / "run")
    path = directory / "metrics.jsonl"
    whole = read_run(directory).metrics
    path.write_bytes(path.read_bytes() + b'{"step": 9, "lo')
    assert read_run(directory).metrics == whole
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(ValueError, match=r"line 10 of .*metrics.jsonl is damaged"):
        read_run(directory)


def test_a_run_that_has_logged_nothing_is_an_error_with_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no metrics.jsonl in .*nowhere"):
        write_report([tmp_path / "nowhere"], tmp_path / "page.html")
    with pytest.raises(ValueError, match="at least one run"):
        write_report([], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_runs_of_one_name_are_told_apart_by_their_paths(tmp_path):
    first, second = make_run(tmp_path / "a/run"), make_run(tmp_path / "b/run")
    page = page_of(first, second)
    assert str(first) in page.text
    assert str(second) in page.text


def test_only_fields_that_differ_are_compared_and_each_fact_once():
    first = {
        "asked": {"model": {"d_model": 64}, "seed": 0},
        "model": {"d_model": 64},
        "device": "cpu",
    }
    second = {"asked": {"model": {"d_model": 96}, "seed": 0, "new": None}, "model": {"d_model": 96}}
    assert differences([first, second]) == {
        "asked.new": ["-", "none"],
        "model.d_model": ["64", "96"],
        "device": ["cpu", "-"],
    }
    assert differences([first, first]) == {}


def test_of_many_samples_some_are_shown_the_last_among_them_and_all_can_be(tmp_path):
    samples = [f"text {number}." for number in range(40)]
    page = page_of(make_run(tmp_path / "run", samples=samples))
    counts = {text: page.text.count(text) for text in samples}
    assert set(counts.values()) == {1, 2}
    assert counts["text 39."] == 2
    assert sum(counts.values()) == 40 + 6


@given(st.lists(numbers, min_size=1), st.booleans(), st.booleans())
def test_an_axis_shows_all_values_and_labels_a_few_round_ones(values, is_log, from_zero):
    axis = Axis.around(values, is_log=is_log, from_zero=from_zero)
    assert axis.low <= min(values)
    assert max(values) <= axis.high
    assert all(-1e-9 <= axis.position(value) <= 1 + 1e-9 for value in values)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 7
    assert ticks == sorted(set(ticks))
    room = 1e-9 * (axis.high - axis.low)
    assert all(axis.low - room <= tick <= axis.high + room for tick in ticks)


def test_ticks_and_labels_are_as_a_person_would_write_them():
    assert Axis(0.0, 1.0).ticks() == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert Axis(0.0, 1500.0).ticks() == [0, 500, 1000, 1500]
    assert Axis(1.0, 10.0, is_log=True).ticks() == [1, 2, 5, 10]
    labels = {
        0.0: "0",
        0.0003: "0.0003",
        999.0: "999",
        1500.0: "1,500",
        4.5e4: "45k",
        3.2e6: "3.2M",
    }
    assert {value: short_number(value) for value in labels} == labels


@given(st.lists(numbers, max_size=300), st.integers(4, 50))
def test_thinning_keeps_both_ends_and_the_extremes(values, max_points):
    points = [(float(step), value) for step, value in enumerate(values)]
    kept = thin_out(points, max_points)
    assert len(kept) <= max_points
    assert kept == [point for point in points if point in set(kept)]
    if points:
        assert {points[0], points[-1]} <= set(kept)
        assert min(values) in {y for _, y in kept}
        assert max(values) in {y for _, y in kept}


def test_points_land_in_the_frame_of_the_chart():
    chart = draw_chart([Curve("c", 0, [(10.0, 3.0), (20.0, 7.0)])], label="l", x_name="step")
    [line] = chart.iter("polyline")
    a, b, c, d, e, f = map(float, line.get("transform", "").removeprefix("matrix(")[:-1].split())
    assert (b, c) == (0, 0)
    corners = [(a * x + e, d * y + f) for x, y in ((10, 3), (20, 7))]
    assert corners == [pytest.approx((46, 206)), pytest.approx((430, 8))]


def test_the_logger_keeps_the_report_of_a_running_run_up_to_date(tmp_path):
    directory = make_run(tmp_path / "run")
    logger = ReportLogger(directory)
    logger.log(8, {"loss": 1.0})
    assert not logger.path.exists()
    logger.log(8, {"valid_loss": 1.5})
    assert "reloads every 30 seconds" in logger.path.read_text("utf-8")
    logger.close()
    assert "reloads" not in logger.path.read_text("utf-8")


def test_the_command_writes_into_the_run_or_where_it_is_told(tmp_path, capsys):
    first, second = make_run(tmp_path / "first"), make_run(tmp_path / "second")
    main([str(first)])
    assert capsys.readouterr().out.strip() == str(first / "report.html")
    assert (first / "report.html").exists()
    main([str(first), str(second), "--out", str(tmp_path / "both.html")])
    assert "2 runs compared" in Page((tmp_path / "both.html").read_text("utf-8")).text
    with pytest.raises(SystemExit, match=r"error: no metrics.jsonl in .*nowhere"):
        main([str(tmp_path / "nowhere")])
