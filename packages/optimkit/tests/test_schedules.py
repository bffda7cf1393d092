"""Schedules: worked values (table), torch's and each other (parity), their bounds (property)."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optimkit import (
    constant_schedule,
    cosine_schedule,
    inverse_sqrt_schedule,
    linear_schedule,
    wsd_schedule,
)


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
def test_worked_values_of_the_cosine(step, lr):
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


WSD = {"max_lr": 1.0, "min_lr": 0.2, "warmup_steps": 4, "stable_steps": 8, "decay_steps": 16}
LINEAR = {"max_lr": 1.0, "min_lr": 0.2, "warmup_steps": 4, "decay_steps": 12}
RISE = {"max_lr": 1.0, "warmup_steps": 4}


@pytest.mark.parametrize(
    ("schedule", "options", "values"),
    [
        (wsd_schedule, WSD, {0: 0, 1: 0.25, 4: 1, 7: 1, 8: 1, 10: 0.6, 16: 0.2, 10**9: 0.2}),
        (wsd_schedule, WSD | {"decay": "linear"}, {3: 0.75, 8: 1, 10: 0.8, 12: 0.6, 16: 0.2}),
        (wsd_schedule, WSD | {"stable_steps": 16}, {15: 1, 16: 0.2}),  # no way down: a cliff
        (linear_schedule, LINEAR, {0: 0, 3: 0.75, 4: 1, 6: 0.8, 8: 0.6, 12: 0.2, 13: 0.2}),
        (inverse_sqrt_schedule, RISE, {0: 0, 1: 0.25, 4: 1, 16: 0.5, 400: 0.1}),
        (constant_schedule, RISE, {0: 0, 3: 0.75, 4: 1, 10**9: 1}),
        (constant_schedule, RISE | {"warmup_steps": 0}, {0: 1, 1: 1}),
    ],
)
def test_worked_values(schedule, options, values):
    got = {step: schedule(step, **options) for step in values}
    assert got == pytest.approx(values, abs=1e-12)


def test_without_warm_up_the_linear_one_is_torchs():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    theirs = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, end_factor=0.1, total_iters=40)
    for step in range(50):
        ours = linear_schedule(step, max_lr=0.5, min_lr=0.05, warmup_steps=0, decay_steps=40)
        assert ours == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()


@given(st.integers(0, 10_000), st.integers(1, 4000), st.integers(1, 2048))
def test_the_inverse_root_is_the_transformers(step, warmup_steps, d_model):
    # Vaswani et al. 2017, eq. 3, as it is written; there step 0 does not occur.
    step += 1
    theirs = d_model**-0.5 * min(step**-0.5, step * warmup_steps**-1.5)
    max_lr = (d_model * warmup_steps) ** -0.5
    ours = inverse_sqrt_schedule(step, max_lr=max_lr, warmup_steps=warmup_steps)
    assert ours == pytest.approx(theirs, rel=1e-12)


TRAPEZOIDS = st.builds(
    lambda rates, steps, decay: {
        "min_lr": min(rates),
        "max_lr": max(rates),
        **dict(zip(("warmup_steps", "stable_steps", "decay_steps"), sorted(steps), strict=True)),
        "decay": decay,
    },
    st.tuples(st.floats(0, 10), st.floats(0, 10)),
    st.tuples(*[st.integers(0, 500)] * 3),
    st.sampled_from(["linear", "1-sqrt"]),
)


@given(TRAPEZOIDS, st.integers(0, 1000))
def test_the_trapezoid_rises_is_level_and_falls(schedule, step):
    lr, following = (wsd_schedule(at, **schedule) for at in (step, step + 1))
    slack = 1e-12
    if step < schedule["warmup_steps"]:
        assert lr == constant_schedule(
            step, max_lr=schedule["max_lr"], warmup_steps=schedule["warmup_steps"]
        )
    elif step < schedule["stable_steps"]:
        assert lr == pytest.approx(schedule["max_lr"])
    else:
        assert schedule["min_lr"] <= lr <= schedule["max_lr"] + slack
        assert following <= lr + slack
    assert wsd_schedule(schedule["decay_steps"], **schedule) == schedule["min_lr"]


@given(TRAPEZOIDS, st.integers(0, 1000))
def test_the_root_falls_first(schedule, step):
    straight = wsd_schedule(step, **(schedule | {"decay": "linear"}))
    root = wsd_schedule(step, **(schedule | {"decay": "1-sqrt"}))
    assert root <= straight + 1e-12


@pytest.mark.parametrize(
    ("schedule", "arguments", "message"),
    [
        (wsd_schedule, WSD | {"step": -1}, "step must not be negative, got step=-1"),
        (
            wsd_schedule,
            WSD | {"step": 0, "stable_steps": 3},
            "0 <= warmup_steps <= stable_steps <= decay_steps must hold, got warmup_steps=4, "
            "stable_steps=3, decay_steps=16",
        ),
        (wsd_schedule, WSD | {"step": 0, "min_lr": 2.0}, "0 <= min_lr <= max_lr must hold"),
        (linear_schedule, LINEAR | {"step": 0, "decay_steps": 3}, "must hold, got warmup_steps=4"),
        (inverse_sqrt_schedule, RISE | {"step": 0, "warmup_steps": 0}, "must be at least 1, got"),
        (inverse_sqrt_schedule, RISE | {"step": -1}, "step must not be negative"),
        (inverse_sqrt_schedule, RISE | {"step": 9, "max_lr": math.nan}, "<= max_lr must hold"),
        (constant_schedule, RISE | {"step": 0, "warmup_steps": -1}, "0 <= warmup_steps must hold"),
        (constant_schedule, RISE | {"step": 0, "max_lr": -1.0}, "<= max_lr must hold"),
    ],
)
def test_what_contradicts_itself_is_named(schedule, arguments, message):
    with pytest.raises(ValueError, match=message):
        schedule(**arguments)


def test_an_unknown_way_down_is_named():
    unchecked = inspect.unwrap(wsd_schedule)  # the tests' type checker would refuse it before us
    with pytest.raises(
        ValueError, match=r"decay must be one of \('linear', '1-sqrt'\), got .*'step'"
    ):
        unchecked(0, **WSD, decay="step")
