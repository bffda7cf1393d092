"""cosine_schedule: worked values (table), torch's cosine (parity), its bounds (property)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optimkit import cosine_schedule


@pytest.mark.parametrize(
    ("step", "lr"),
    [
        (0, 0.0),
        (1, 0.25),
        (4, 1.0),
        (6, 0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2),  # a quarter of the cosine
        (8, 0.55),  # half of it
        (12, 0.1),
        (13, 0.1),
        (10**9, 0.1),
    ],
)
def test_worked_values(step, lr):
    got = cosine_schedule(step, max_lr=1.0, min_lr=0.1, warmup_steps=4, decay_steps=12)
    assert got == pytest.approx(lr, abs=1e-15)


def test_without_warm_up_it_is_torchs_cosine():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=0.02)
    for step in range(51):
        ours = cosine_schedule(step, max_lr=0.5, min_lr=0.02, warmup_steps=0, decay_steps=50)
        assert ours == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()


SCHEDULES = st.builds(
    lambda rates, steps: {
        "min_lr": min(rates),
        "max_lr": max(rates),
        "warmup_steps": min(steps),
        "decay_steps": max(steps),
    },
    st.tuples(st.floats(0, 10), st.floats(0, 10)),
    st.tuples(st.integers(0, 500), st.integers(0, 500)),
)


@given(SCHEDULES, st.integers(0, 1000))
def test_it_rises_then_falls_within_its_bounds(schedule, step):
    lr, following = (cosine_schedule(at, **schedule) for at in (step, step + 1))
    slack = 1e-12
    if step < schedule["warmup_steps"]:
        assert 0 <= lr <= schedule["max_lr"]
    else:
        assert schedule["min_lr"] <= lr <= schedule["max_lr"] + slack
        assert following <= lr + slack
    if step + 1 < schedule["warmup_steps"]:
        assert following >= lr


@given(SCHEDULES)
def test_its_ends_are_exact(schedule):
    warmup_steps, decay_steps = schedule["warmup_steps"], schedule["decay_steps"]
    assert cosine_schedule(decay_steps, **schedule) == schedule["min_lr"]
    if warmup_steps > 0:
        assert cosine_schedule(0, **schedule) == 0
    if warmup_steps < decay_steps:
        assert cosine_schedule(warmup_steps, **schedule) == pytest.approx(schedule["max_lr"])


@settings(max_examples=30)
@given(st.integers(1, 200), st.integers(1, 200))
def test_it_does_not_jump(warmup_steps, cosine_steps):
    decay_steps = warmup_steps + cosine_steps
    steepest = max(1 / warmup_steps, math.pi / 2 / cosine_steps) + 1e-12
    for step in range(decay_steps + 2):
        lr, following = (
            cosine_schedule(
                at, max_lr=1.0, min_lr=0.0, warmup_steps=warmup_steps, decay_steps=decay_steps
            )
            for at in (step, step + 1)
        )
        assert abs(following - lr) <= steepest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": -1}, "step must not be negative, got step=-1"),
        ({"min_lr": -0.1}, "0 <= min_lr <= max_lr must hold, got min_lr=-0.1, max_lr=1.0"),
        ({"min_lr": 2.0}, "0 <= min_lr <= max_lr must hold"),
        ({"max_lr": math.inf}, "0 <= min_lr <= max_lr must hold"),
        ({"min_lr": math.nan}, "0 <= min_lr <= max_lr must hold"),
        ({"warmup_steps": -1}, "0 <= warmup_steps <= decay_steps must hold"),
        ({"warmup_steps": 9}, "must hold, got warmup_steps=9, decay_steps=8"),
    ],
)
def test_arguments_that_contradict_each_other_are_named(change, message):
    good = {"step": 0, "max_lr": 1.0, "min_lr": 0.1, "warmup_steps": 2, "decay_steps": 8}
    with pytest.raises(ValueError, match=message):
        cosine_schedule(**(good | change))
