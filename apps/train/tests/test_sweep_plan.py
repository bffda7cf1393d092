"""Plans: points of grids and lists (table, property), and what is refused before the first run."""

import math
import shlex
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from train.command_line import read_command_line
from train.directories import asked
from train.sweep import Plan, read_plan
from train.sweep.__main__ import make_plan
from train.sweep.fields import field_name, run_config
from train.sweep.plan import read_value


def test_a_grid_has_every_combination_and_the_last_axis_turns_fastest():
    plan = Plan(vary={"max_lr": [1e-3, 1e-2], "batch_size": [4, 8]})
    assert [point.name for point in plan.expand()] == [
        "max-lr=0.001_batch-size=4",
        "max-lr=0.001_batch-size=8",
        "max-lr=0.01_batch-size=4",
        "max-lr=0.01_batch-size=8",
    ]


@settings(deadline=None, max_examples=20)  # a point is parsed as a command line is: 10 ms
@given(st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=4, unique=True), max_size=3))
def test_a_grid_has_as_many_points_as_its_axes_multiplied(axes):
    names = ["batch_size", "log_every", "keep_checkpoints"]
    points = Plan(vary=dict(zip(names, axes, strict=False))).expand()
    assert len(points) == math.prod(map(len, axes))


def test_listed_points_are_named_and_run_at_every_seed():
    plan = Plan(points=[{"name": "bare", "model": {"norm": "none"}}, {}], seeds=[0, 1])
    names = [point.name for point in plan.expand()]
    assert names == ["bare_seed=0", "bare_seed=1", "seed=0", "seed=1"]


def test_what_a_point_sets_stands_over_what_is_fixed():
    [point] = Plan(fixed={"max_lr": 1e-3}, points=[{"max_lr": 2e-3}]).expand()
    assert point.values == {"max-lr": 2e-3}


def test_the_command_of_a_point_is_understood_by_train_as_the_plan_meant_it():
    values = {"max-lr": 1e-2, "model.norm": "post", "model.d-ff": 96, "csv": True}
    [point] = Plan(preset="tales", points=[values]).expand()
    typed = read_command_line(shlex.split(shlex.join(point.command(Path("out/x")))))
    assert asked(typed) == asked(run_config("tales", values, Path("out/x")))
    assert (typed.model.norm, typed.training.max_lr) == ("post", 1e-2)


@pytest.mark.parametrize("name", ["max-lr", "max_lr", "training.max-lr", "training.max_lr"])
def test_a_field_is_found_however_it_is_written(name):
    assert field_name(name) == "max-lr"


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(vary={"max_rl": [1]}), "'max_rl'; there is max-lr"),
        (Plan(fixed={"model": {"nrom": "none"}}), "'model.nrom'; there is model.norm"),
        (Plan(fixed={"out": "x"}), "no field of a run is called 'out'"),
        (Plan(vary={"max_lr": []}), "max-lr needs a list of values"),
        (Plan(vary={"max_lr": [1e-3, "fast"]}), "--max-lr fast: a value that its field cannot"),
        (Plan(vary={"model.norm": ["past"]}), "--model.norm past: a value"),
        (Plan(vary={"model.d_model": [30]}), "d_model must be divisible by num_heads"),
        (Plan(vary={"max_lr": [1e-9]}), "min_lr must be at most max_lr"),
        (Plan(vary={"max_lr": [1e-2, 0.01]}), "two points are called max-lr=0.01"),
        (Plan(points=[{"seed": 1}], seeds=[1]), "seed is both in a point and in vary"),
        (Plan(preset="storys"), "preset must be one of"),
    ],
)
def test_a_plan_that_cannot_run_is_refused_before_its_first_run(plan, message):
    with pytest.raises(ValueError, match=message):
        plan.expand()


def test_a_file_says_what_a_plan_says(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text(
        'preset = "tales"\nseeds = [3]\n[fixed.model]\nnorm = "post"\n[vary]\nmax_lr = [1e-3]\n'
    )
    [point] = read_plan(path).expand()
    assert (point.name, point.preset) == ("max-lr=0.001_seed=3", "tales")
    assert point.values == {"model.norm": "post", "max-lr": 1e-3, "seed": 3}


@pytest.mark.parametrize(
    ("text", "message"), [("preset = ", "is no TOML"), ("fixd = {}", "has fixd; a sweep has fixed")]
)
def test_a_damaged_file_is_refused(tmp_path, text, message):
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_plan(path)


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 1e-3), ("8", 8), ("true", True), ("none", "none"), ("a b", "a b")]
)
def test_what_is_typed_is_read_as_toml_else_as_text(text, value):
    assert read_value(text) == value


def test_what_is_typed_stands_over_the_file(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text("[fixed]\nmax_lr = 1e-3\nbatch_size = 2\n[vary]\nlog_every = [1, 2]\n")
    typed = "--vary log_every 5 --set training.max-lr 1e-2 --seeds 7 --out x"
    [point] = make_plan([str(path), *typed.split()]).expand()
    assert point.name == "log-every=5_seed=7"
    assert point.values == {"max-lr": 1e-2, "batch-size": 2, "log-every": 5, "seed": 7}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--out x", "a sweep needs points"),
        ("--vary max-lr --out x", "max-lr needs a value"),
        ("--vary max-lt 1 --out x", "there is max-lr"),
    ],
)
def test_a_command_line_without_points_or_values_is_refused(words, message):
    with pytest.raises(ValueError, match=message):
        make_plan(words.split())
