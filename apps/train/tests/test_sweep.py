"""Sweeps that really run: processes, a divergence, signals, and starting again."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from prepare import PrepareConfig, prepare
from rich.console import Console
from train.sweep import Plan
from train.sweep.run import sweep
from train.sweep.table import read_outcomes

SMALL = {
    "max_steps": 4,
    "batch_size": 2,
    "eval_every": 2,
    "eval_tokens": 64,
    "checkpoint_every": 2,
    "log_every": 1,
    "precision": "fp32",
    "compile": "off",
    "model": {"d_model": 16, "num_layers": 1, "num_heads": 2, "context_length": 16},
}


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    directory = tmp_path_factory.mktemp("text")
    text = directory / "text.txt"
    text.write_text("The cat sat on the mat, and the dog on the log. " * 60)
    config = PrepareConfig(input=(text,), valid=text, vocab_size=270, out=directory / "data")
    data = prepare(config, lambda _: None)
    return Plan(fixed={**SMALL, "data": str(data)}, vary={"max_lr": [1e-3, 1e30]})


def test_a_divergence_is_a_result_and_a_sweep_started_again_leaves_both_points_alone(
    plan, tmp_path
):
    first = sweep(plan, tmp_path, Console(quiet=True))
    assert [(row.state, row.steps) for row in first] == [("finished", 4), ("diverged", 2)]
    logs = [(tmp_path / row.point / "console.txt").read_bytes() for row in first]
    assert sweep(plan, tmp_path, Console(quiet=True)) == first
    assert [(tmp_path / row.point / "console.txt").read_bytes() for row in first] == logs
    written = {"sweep.json", "sweep.csv", "sweep.png", "report.html"}
    assert written <= {path.name for path in tmp_path.iterdir()}
    assert read_outcomes(tmp_path) == {row.point: row for row in first}
    with pytest.raises(ValueError, match="holds a run that differs"):
        sweep(replace(plan, fixed={**plan.fixed, "batch_size": 1}), tmp_path, Console(quiet=True))


def test_a_sweep_of_minutes_goes_on_with_the_updates_that_they_gave(plan, tmp_path):
    """Also where the file has a number of them, over which the minutes stand."""
    fixed = {**plan.fixed, "minutes": 1e-9}  # enough for one
    timed = replace(plan, fixed=fixed, vary={"seed": [0]})
    assert "max_steps" in fixed
    [row] = sweep(timed, tmp_path, Console(quiet=True))
    assert (row.state, row.steps) == ("finished", 1)
    assert sweep(timed, tmp_path, Console(quiet=True)) == [row]
    (tmp_path / row.point / "result.json").unlink()  # as if stopped before it
    assert sweep(timed, tmp_path, Console(quiet=True)) == [row]


def test_a_stopped_sweep_ends_its_run_with_a_checkpoint_and_goes_on_from_it(plan, tmp_path):
    out, file = tmp_path / "out", tmp_path / "sweep.toml"
    # As JSON, each value is TOML too; steps enough to be met in the middle.
    every = dict.fromkeys(["max_steps", "eval_every", "checkpoint_every"], 1000)
    fixed = {**plan.fixed, **every, "log_every": 100}
    model = fixed.pop("model")
    lines = [f"{name} = {json.dumps(value)}" for name, value in fixed.items()]
    shape = [f"{name} = {value}" for name, value in model.items()]
    file.write_text("\n".join(["[fixed]", *lines, "[fixed.model]", *shape]))
    words = [sys.executable, "-m", "train.sweep", str(file), "--seeds", "5", "--out", str(out)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    metrics = out / "seed=5" / "metrics.jsonl"
    while not (metrics.is_file() and metrics.stat().st_size):
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait() == 128 + signal.SIGTERM
    step = int((out / "seed=5/checkpoints/latest").read_text().removeprefix("step-"))
    assert 0 < step < 1000
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
    said = " ".join((out / "seed=5/console.txt").read_text().split())  # lines are wrapped
    assert f"from step {step}" in said
    assert read_outcomes(out)["seed=5"].steps == 1000
