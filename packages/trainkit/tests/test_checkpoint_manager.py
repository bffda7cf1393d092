"""Checkpoints of a run. Property: whatever moment a save dies at, a whole one is the latest."""

import errno
import os
import shutil

import pytest
import safetensors.torch
import torch
from torch import nn
from trainkit import CheckpointManager, DamagedCheckpointError
from trainkit import checkpoint_files as files


def make_model(value: float) -> nn.Linear:
    model = nn.Linear(3, 2)
    nn.init.constant_(model.weight, value)
    nn.init.constant_(model.bias, value)
    return model


def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()  # lr 0: gives it state and leaves the weights
    return optimizer


def value_of(model: nn.Linear) -> float:
    values = set(model.weight.flatten().tolist()) | set(model.bias.tolist())
    assert len(values) == 1, "half of one checkpoint and half of another"
    return values.pop()


def test_load_undoes_save(tmp_path):
    model = make_model(1.0)
    optimizer = make_optimizer(model)
    manager = CheckpointManager(tmp_path / "checkpoints")
    path = manager.save(500, model, optimizer, {"wall_seconds": 1.5})
    assert path == tmp_path / "checkpoints" / "step-000500"
    assert (tmp_path / "checkpoints" / "latest").read_text() == "step-000500\n"
    names = {"model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"}
    assert {file.name for file in path.iterdir()} == names

    other = make_model(2.0)
    other_optimizer = torch.optim.SGD(other.parameters(), lr=9.0, momentum=0.1)
    state = CheckpointManager(tmp_path / "checkpoints").load(other, other_optimizer)
    assert (state.step, state.extra) == (500, {"wall_seconds": 1.5})
    assert value_of(other) == 1.0
    assert other_optimizer.param_groups[0]["momentum"] == 0.9
    for ours, theirs in zip(
        other_optimizer.state_dict()["state"].values(),
        optimizer.state_dict()["state"].values(),
        strict=True,
    ):
        assert torch.equal(ours["momentum_buffer"], theirs["momentum_buffer"])


def test_the_model_file_is_a_plain_state_dict(tmp_path):
    path = CheckpointManager(tmp_path).save(1, torch.compile(make_model(1.0)))
    assert safetensors.torch.load_file(path / "model.safetensors").keys() == {"weight", "bias"}


def test_the_newest_are_kept(tmp_path):
    manager = CheckpointManager(tmp_path, keep=2)
    for step in (5, 10, 15, 1_000_000):
        manager.save(step, make_model(step))
    assert manager.steps() == [15, 1_000_000]
    assert manager.latest_step() == 1_000_000
    model = make_model(0.0)
    manager.load(model, step=15)
    assert value_of(model) == 15
    with pytest.raises(FileNotFoundError, match=r"step 10 .* of steps \[15, 1000000\]"):
        manager.load(model, step=10)


def test_the_same_step_can_be_saved_again(tmp_path):
    manager = CheckpointManager(tmp_path)
    manager.save(5, make_model(1.0))
    manager.save(5, make_model(2.0))
    model = make_model(0.0)
    assert manager.load(model).step == 5
    assert value_of(model) == 2.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "step-000005"]


def test_going_back_drops_the_future_that_was_left(tmp_path):
    manager = CheckpointManager(tmp_path, keep=2)
    for step in (5, 10, 15):
        manager.save(step, make_model(step))
    (tmp_path / "latest").write_text("step-000010\n")
    assert manager.latest_step() == 10
    manager.save(12, make_model(12))
    assert manager.steps() == [10, 12]


def test_nothing_saved_is_nothing_to_load(tmp_path):
    manager = CheckpointManager(tmp_path / "nowhere")
    assert manager.latest_step() is None
    assert manager.steps() == []
    with pytest.raises(FileNotFoundError, match="no checkpoint at all"):
        manager.load(make_model(0.0))
    assert not (tmp_path / "nowhere").exists()


def test_a_latest_that_names_nothing_says_what_there_is(tmp_path):
    manager = CheckpointManager(tmp_path)
    manager.save(5, make_model(5))
    (tmp_path / "latest").write_text("step-000007\n")
    with pytest.raises(
        DamagedCheckpointError, match=r"names 'step-000007', which is not there.*\[5\]"
    ):
        manager.latest_step()


def test_another_model_and_a_damaged_file_are_refused_and_change_nothing(tmp_path):
    manager = CheckpointManager(tmp_path)
    path = manager.save(5, make_model(5), make_optimizer(make_model(5)))
    with pytest.raises(ValueError, match=r"weight: \(2, 3\) in the checkpoint, \(2, 4\)"):
        manager.load(nn.Linear(4, 2))
    os.truncate(path / "optimizer.safetensors", 100)
    model = make_model(1.0)
    with pytest.raises(
        DamagedCheckpointError, match=r"optimizer\.safetensors should have \d+ bytes"
    ):
        manager.load(model, make_optimizer(model))
    assert value_of(model) == 1.0
    manager.save(6, make_model(6))
    with pytest.raises(ValueError, match="optimizer=None"):
        manager.load(model, make_optimizer(model))


def test_keep_below_one_is_refused(tmp_path):
    with pytest.raises(ValueError, match="keep must be at least 1, got 0"):
        CheckpointManager(tmp_path, keep=0)


@pytest.mark.parametrize("new_step", [10, 15])
def test_a_save_that_dies_at_any_moment_leaves_a_whole_checkpoint(tmp_path, monkeypatch, new_step):
    """What a kill leaves is what the disk holds at that moment: so each moment is copied."""
    run = tmp_path / "run"
    manager = CheckpointManager(run, keep=1)
    manager.save(10, make_model(10.0))
    moments = []

    def copying_before(function):
        def call(*args, **kwargs):
            moments.append(tmp_path / f"moment-{len(moments)}")
            shutil.copytree(run, moments[-1])
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(files, "tensor_bytes", copying_before(files.tensor_bytes))
    for name in ("fsync", "replace", "unlink", "rmdir"):
        monkeypatch.setattr(os, name, copying_before(getattr(os, name)))
    manager.save(new_step, make_model(20.0))
    monkeypatch.undo()
    assert len(moments) > 10

    found = []
    for moment in moments:
        survivor, model = CheckpointManager(moment, keep=1), make_model(0.0)
        step = survivor.load(model).step
        found.append(value_of(model))
        assert (step, found[-1]) in {(10, 10.0), (new_step, 20.0)}
        survivor.save(30, make_model(30.0))  # and the next save brings it all into order
        assert sorted(path.name for path in moment.iterdir()) == ["latest", "step-000030"]
    assert found == sorted(found)  # first always the old one, from some moment on the new one
    assert set(found) == {10.0, 20.0}


@pytest.mark.parametrize("failing_call", range(6))
def test_a_full_disk_leaves_the_old_checkpoints_and_no_rubbish(tmp_path, monkeypatch, failing_call):
    manager = CheckpointManager(tmp_path, keep=2)
    manager.save(10, make_model(10.0))
    calls = iter(range(99))

    def fail_once(function):
        def call(*args):
            if next(calls) == failing_call:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return function(*args)

        return call

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, fail_once(getattr(os, name)))
    with pytest.raises(OSError, match="No space left"):
        manager.save(20, make_model(20.0))
    monkeypatch.undo()
    model = make_model(0.0)
    assert manager.load(model, step=10).step == 10
    assert value_of(model) == 10.0
    assert not [path for path in tmp_path.iterdir() if "staging" in path.name]
