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


@pytest.mark.parametrize("name", ["learning_rates", "schedules"])
def test_the_pictures_are_drawn(tmp_path, name):
    pytest.importorskip("matplotlib")
    image = tmp_path / "image.png"
    runpy.run_path(str(EXAMPLES / f"{name}.py"))["plot"](image)
    assert image.read_bytes().startswith(b"\x89PNG")
