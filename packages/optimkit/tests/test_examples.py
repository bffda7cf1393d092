"""The examples: that they say what is so (golden: the factors in their docstring), and draw."""

import math
import runpy
from itertools import pairwise
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def learning_rates():
    return runpy.run_path(str(EXAMPLES / "learning_rates.py"))


def test_a_greater_rate_is_faster_faster_faster_and_diverges(learning_rates):
    first, *lasts = learning_rates["study"](1.0)[:1] + [
        learning_rates["study"](lr)[-1] for lr in (1.0, 10.0, 100.0, 1_000.0)
    ]
    slow, faster, fastest, diverged = lasts
    assert first > slow > faster > fastest
    assert fastest < 1e-6 * first
    assert diverged > 1e6 * first


@pytest.mark.parametrize("lr", [1.0, 10.0, 100.0, 1_000.0])
def test_every_step_scales_the_loss_as_was_told_in_advance(learning_rates, lr):
    losses = learning_rates["study"](lr, steps=4)
    for step, (before, after) in enumerate(pairwise(losses)):
        factor = 1 - lr / (50 * math.sqrt(step + 1))
        # At lr = 100 the third factor leaves little of the fp32 digits: 1e-6 of 1 in 0.15.
        assert after / before == pytest.approx(factor**2, rel=1e-4, abs=1e-9)


def test_the_schedules_that_are_drawn_stay_within_their_level():
    drawn = runpy.run_path(str(EXAMPLES / "schedules.py"))
    for name, schedule in drawn["SCHEDULES"].items():
        values = drawn["values"](schedule)
        assert values[0] == 0, name
        assert max(values) == 1, name


@pytest.fixture
def lines_of(monkeypatch):
    """Draws an example's picture; gives its axes' lines, by label."""
    figure_class = pytest.importorskip("matplotlib.figure").Figure
    figures = []
    monkeypatch.setattr(figure_class, "savefig", lambda figure, *_, **__: figures.append(figure))

    def draw(example):
        example["plot"](Path("image.png"))
        [axes] = figures.pop().axes
        assert [text.get_text() for text in axes.get_legend().get_texts()] == [
            line.get_label() for line in axes.lines
        ]
        return {line.get_label(): list(line.get_ydata()) for line in axes.lines}

    return draw


def test_the_study_is_drawn_rate_by_rate(learning_rates, lines_of):
    rates = {"lr = 1": 1.0, "lr = 10": 10.0, "lr = 100": 100.0, "lr = 1,000": 1_000.0}
    lines = lines_of(learning_rates)
    assert list(lines) == list(rates)
    for label, lr in rates.items():
        # Below 1e-6, where only rounding is left, the scale ends.
        assert lines[label] == [max(loss, 1e-6) for loss in learning_rates["study"](lr)]


def test_every_schedule_is_drawn(lines_of):
    example = runpy.run_path(str(EXAMPLES / "schedules.py"))
    lines = lines_of(example)
    assert list(lines) == list(example["SCHEDULES"])
    for label, schedule in example["SCHEDULES"].items():
        assert lines[label] == [schedule(step) for step in range(1_001)]


@pytest.mark.parametrize("name", ["learning_rates", "schedules"])
def test_the_pictures_are_drawn(tmp_path, name):
    pytest.importorskip("matplotlib")
    image = tmp_path / "image.png"
    runpy.run_path(str(EXAMPLES / f"{name}.py"))["plot"](image)
    assert image.read_bytes().startswith(b"\x89PNG")
