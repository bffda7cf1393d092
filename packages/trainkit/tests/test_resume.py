"""Resuming. Property: stopped and resumed, however often, equals never stopped, bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from nnparts import TransformerConfig
from torch import nn
from trainkit import CheckpointManager, DamagedCheckpointError, Terminated
from trainkit.interrupt import deferred_interrupt

TINY_RUN = Path(__file__).with_name("tiny_run.py")
TIMES = {"tokens_per_second", "data_wait_share", "peak_memory_bytes", "wall_seconds"}


def read_metrics(trainer):
    """Every line of metrics.jsonl without times and memory."""
    lines = (trainer.run_dir / "metrics.jsonl").read_text().splitlines()
    return [
        {key: value for key, value in json.loads(line).items() if key not in TIMES}
        for line in lines
    ]


def assert_same_run(ours, theirs):
    assert ours.step == theirs.step
    for name, weight in theirs.model.state_dict().items():
        assert torch.equal(ours.model.state_dict()[name], weight), name
    ours_state, theirs_state = (trainer.optimizer.state_dict() for trainer in (ours, theirs))
    assert ours_state["param_groups"] == theirs_state["param_groups"]
    for index, state in theirs_state["state"].items():
        for name, value in state.items():
            assert torch.equal(ours_state["state"][index][name], value), name
    if theirs.average is not None:
        for name, weight in theirs.average.tensors().items():
            assert torch.equal(ours.average.tensors()[name], weight), name
    assert read_metrics(ours) == read_metrics(theirs)


@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 4}, {"tales": True}])
@pytest.mark.parametrize("stops", [(3,), (9, 12), (18, 18, 20)])
def test_resumed_equals_never_stopped(tmp_path, make_trainer, options, stops, stop_at):
    undisturbed = make_trainer(tmp_path, run="undisturbed", **options)
    expected = undisturbed.train()
    for stop in stops:
        trainer = make_trainer(tmp_path, loggers=(stop_at(stop),), **options)
        trainer.resume()
        with pytest.raises(SystemExit):
            trainer.train()
    trainer = make_trainer(tmp_path, **options)
    assert trainer.resume() == (stops[-1] - 1) // 5 * 5
    assert trainer.train() == expected
    assert_same_run(trainer, undisturbed)


class DropoutModel(nn.Module):
    """A model that draws in training."""

    def __init__(self):
        super().__init__()
        self.config = TransformerConfig(17, 8, d_model=16, num_layers=1, num_heads=2)
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Embedding(17, 16), nn.Dropout(0.5), nn.Linear(16, 17))

    def forward(self, token_ids):
        return self.layers(token_ids)


def test_a_model_that_draws_resumes_exactly_too(tmp_path, make_trainer, stop_at):
    undisturbed = make_trainer(tmp_path, run="undisturbed", model=DropoutModel())
    undisturbed.train()
    with pytest.raises(SystemExit):
        make_trainer(tmp_path, model=DropoutModel(), loggers=(stop_at(9),)).train()
    torch.rand(7)  # the process that resumes has drawn something else
    trainer = make_trainer(tmp_path, model=DropoutModel())
    assert trainer.resume() == 5
    trainer.train()
    assert_same_run(trainer, undisturbed)
    losses = [line["loss"] for line in read_metrics(trainer) if "loss" in line]
    still = make_trainer(tmp_path, run="still", model=DropoutModel())
    still.model.layers[1].p = 0.0
    still.train()
    assert losses[0] != read_metrics(still)[0]["loss"]  # it did draw


def test_a_finished_run_resumes_to_its_result(tmp_path, make_trainer):
    expected = make_trainer(tmp_path).train()
    trainer = make_trainer(tmp_path)
    assert trainer.resume() == 20
    before = read_metrics(trainer)
    assert trainer.train() == expected
    assert read_metrics(trainer) == before


def test_a_run_without_a_checkpoint_resumes_at_its_start(tmp_path, make_trainer, stop_at):
    undisturbed = make_trainer(tmp_path, run="undisturbed")
    undisturbed.train()
    with pytest.raises(SystemExit):
        make_trainer(tmp_path, loggers=(stop_at(3),)).train()
    trainer = make_trainer(tmp_path)
    assert trainer.resume() == 0
    trainer.train()
    assert_same_run(trainer, undisturbed)


def test_the_clock_goes_on(tmp_path, make_trainer, stop_at):
    with pytest.raises(SystemExit):
        make_trainer(tmp_path, loggers=(stop_at(9),)).train()
    state = CheckpointManager(tmp_path / "run" / "checkpoints").load(make_trainer(tmp_path).model)
    trainer = make_trainer(tmp_path)
    trainer.resume()
    trainer.train()
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    later = [json.loads(line)["wall_seconds"] for line in lines if json.loads(line)["step"] > 5]
    assert min(later) > state.extra["wall_seconds"] > 0


@pytest.mark.parametrize("moment", ["update", "evaluation", "saving"])
def test_ctrl_c_saves_a_checkpoint_and_is_raised(tmp_path, make_trainer, monkeypatch, moment):
    undisturbed = make_trainer(tmp_path, run="undisturbed")
    undisturbed.train()
    trainer = make_trainer(tmp_path)
    calls = []

    def interrupting(function, at_call):
        def call(*args, **kwargs):
            calls.append(1)
            if len(calls) == at_call:
                signal.raise_signal(signal.SIGINT)
            return function(*args, **kwargs)

        return call

    place, name, at_call = {
        "update": (trainer.optimizer, "step", 8),
        "evaluation": (trainer, "evaluate", 2),
        "saving": (trainer.checkpoints, "save", 2),
    }[moment]
    monkeypatch.setattr(place, name, interrupting(getattr(place, name), at_call))
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    monkeypatch.undo()
    again = make_trainer(tmp_path)
    assert again.resume() == trainer.step == (8 if moment == "update" else 10)
    again.train()
    assert_same_run(again, undisturbed)


def test_a_run_stopped_in_its_last_evaluation_is_saved_with_it_when_resumed(
    tmp_path, make_trainer, monkeypatch
):
    def stop():
        raise KeyboardInterrupt

    trainer = make_trainer(tmp_path, max_steps=3, checkpoint_every=3)
    monkeypatch.setattr(trainer, "evaluate", stop)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    resumed = make_trainer(tmp_path, max_steps=3, checkpoint_every=3)
    assert resumed.resume() == 3
    resumed.train()
    state = json.loads((resumed.run_dir / "checkpoints/step-000003/state.json").read_text())
    assert state["extra"]["evaluated_step"] == 3


def test_a_signal_while_the_last_checkpoint_is_on_its_way_loses_no_step(
    tmp_path, make_trainer, monkeypatch
):
    trainer = make_trainer(tmp_path, max_steps=3, checkpoint_every=3)
    write = trainer.checkpoints._write

    def write_late(*what):
        time.sleep(0.1)  # training has ended by now, and waits
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
        write(*what)

    monkeypatch.setattr(trainer.checkpoints, "_write", write_late)
    with pytest.raises(Terminated):
        trainer.train()
    assert trainer.checkpoints.latest_step() == 3


def test_a_second_ctrl_c_ends_at_once_and_saves_nothing_half_done(
    tmp_path, make_trainer, monkeypatch
):
    trainer = make_trainer(tmp_path)
    step = trainer.optimizer.step

    def call():
        step()
        if trainer.step == 7:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            pytest.fail("the second one did nothing")

    monkeypatch.setattr(trainer.optimizer, "step", call)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert trainer.checkpoints.steps() == [5]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_someone_elses_is_left_alone():
    received = []
    before = signal.signal(signal.SIGINT, lambda *_: received.append(1))
    try:
        with deferred_interrupt():
            signal.raise_signal(signal.SIGINT)
            assert received == [1]
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_checkpoint_of_another_model_is_not_resumed(tmp_path, make_trainer, make_model):
    make_trainer(tmp_path).train()
    trainer = make_trainer(tmp_path, model=make_model(d_model=32))
    with pytest.raises(ValueError, match="the checkpoint is of another model"):
        trainer.resume()
    assert trainer.step == 0


COMPILED_RUN = """
import functools, runpy, sys, torch
from nnparts import kernels
torch.compile = functools.partial(torch.compile, backend="eager")  # needs no C++ compiler
kernels._MAX_BLOCKED = 0  # attention as it is where nothing is compiled, to the last bit
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_compiled_run_that_is_killed_goes_on_uncompiled_to_the_same_end(tmp_path, make_trainer):
    """In a process of its own, killed as the system kills: without a word.

    Compiled by the "eager" backend, which runs torch's own operations: so not a bit may differ.
    """
    options = {"max_steps": 100, "eval_every": 20, "log_every": 1, "gradient_accumulation_steps": 2}
    undisturbed = make_trainer(tmp_path, run="undisturbed", **options)
    undisturbed.train()
    told = json.dumps(options | {"execution": {"compile": True}})
    child = subprocess.Popen([sys.executable, "-c", COMPILED_RUN, TINY_RUN, tmp_path, "run", told])
    checkpoints = CheckpointManager(tmp_path / "run" / "checkpoints")
    while (checkpoints.latest_step() or 0) < 20:
        assert child.poll() is None, "the run ended before it could be killed"
        time.sleep(0.005)
    time.sleep(0.02)  # into some later step
    child.kill()
    assert child.wait() not in (0, 1)
    trainer = make_trainer(tmp_path, **options)
    assert 20 <= trainer.resume() < 100
    trainer.train()
    assert_same_run(trainer, undisturbed)


def test_a_run_whose_latest_checkpoint_is_damaged_goes_on_from_the_one_before(
    tmp_path, make_trainer, stop_at
):
    undisturbed = make_trainer(tmp_path, run="undisturbed")
    undisturbed.train()
    with pytest.raises(SystemExit):
        make_trainer(tmp_path, loggers=(stop_at(14),)).train()
    (tmp_path / "run" / "checkpoints" / "step-000010" / "model.safetensors").write_bytes(b"")
    trainer = make_trainer(tmp_path)
    with pytest.raises(ValueError, match=r"step-000010/model\.safetensors should have"):
        trainer.resume()
    with pytest.warns(UserWarning, match="going back to step 5"):
        assert trainer.resume(fall_back=True) == 5
    trainer.train()
    assert_same_run(trainer, undisturbed)


def test_a_run_whose_latest_names_nothing_goes_on_from_the_greatest_step_when_asked(
    tmp_path, make_trainer, stop_at
):
    undisturbed = make_trainer(tmp_path, run="undisturbed")
    undisturbed.train()
    with pytest.raises(SystemExit):
        make_trainer(tmp_path, loggers=(stop_at(14),)).train()
    (tmp_path / "run" / "checkpoints" / "latest").write_bytes(b"\xff\0")
    trainer = make_trainer(tmp_path)
    for call in (trainer.resume, trainer.train):
        with pytest.raises(DamagedCheckpointError, match=r"latest names .* of steps \[5, 10\]"):
            call()
    assert trainer.step == 0
    with pytest.warns(UserWarning, match="going back to step 10"):
        assert trainer.resume(fall_back=True) == 10
    trainer.train()
    assert_same_run(trainer, undisturbed)
