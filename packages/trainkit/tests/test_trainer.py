"""The loop. Parity: with one written by hand from torch's parts. Table: what stops it."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from subprocess import PIPE
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from trainkit import (
    Execution,
    RunLock,
    TokenDataset,
    TrainConfig,
    Trainer,
    disk_space,
    make_optimizer,
)
from trainkit.fit import at_model
from trainkit.progress import Progress


def read_metrics(trainer):
    lines = (trainer.run_dir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def by_hand(trainer, steps):
    """Losses, gradient norms and weights of `steps` updates, by torch alone."""
    model, config = trainer.model, trainer.config
    named = dict(model.named_parameters())
    resting = [name for name in named if ".ln" in f".{name}" or name == "token_embeddings.weight"]
    groups = [
        {"params": [named[name] for name in named if name not in resting]},
        {"params": [named[name] for name in resting], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), weight_decay=config.weight_decay)
    losses, norms = [], []
    for step in range(1, steps + 1):
        inputs, targets, *_ = trainer.train_data.batch(0, step - 1, config.batch_size, 8, "cpu")
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        if step < config.warmup_steps:
            lr = config.max_lr * step / config.warmup_steps
        else:
            done = (step - config.warmup_steps) / (config.max_steps - config.warmup_steps)
            half = (config.max_lr - config.min_lr) / 2
            lr = config.min_lr + half * (1 + math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
        losses.append(loss.item())
    return losses, norms, [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("accumulation", [1, 4])
def test_training_is_what_torch_does_by_hand(tmp_path, make_trainer, accumulation):
    theirs = by_hand(make_trainer(tmp_path), 20)
    trainer = make_trainer(tmp_path, log_every=1, gradient_accumulation_steps=accumulation)
    trainer.train()
    lines = [line for line in read_metrics(trainer) if "loss" in line]
    # 1e-4: sums in another order, in fp32, over 20 updates that feed on one another.
    assert [line["loss"] for line in lines] == pytest.approx(theirs[0], rel=1e-4)
    assert [line["grad_norm"] for line in lines] == pytest.approx(theirs[1], rel=1e-3)
    for ours, weight in zip(trainer.model.parameters(), theirs[2], strict=True):
        torch.testing.assert_close(ours, weight, rtol=1e-3, atol=1e-4)


def test_a_model_learns_what_can_be_learnt(tmp_path, write_tokens, make_model):
    data = TokenDataset(write_tokens((3 * np.arange(2_000) % 17).astype(np.uint16)))
    config = TrainConfig(max_steps=80, batch_size=8, max_lr=1e-2, min_lr=1e-3, warmup_steps=2)
    model = make_model()
    result = Trainer(
        model, make_optimizer(model, config), data, data, config, run_dir=tmp_path / "run"
    ).train()
    assert result.loss < 0.1
    assert result.token_count == 1_999


def test_a_run_leaves_metrics_and_checkpoints(tmp_path, make_trainer):
    trainer = make_trainer(tmp_path, max_steps=12, keep_checkpoints=2)
    result = trainer.train()
    lines = read_metrics(trainer)
    assert [line["step"] for line in lines if "loss" in line] == [1, 3, 6, 9, 12]
    assert [line["step"] for line in lines if "valid_loss" in line] == [5, 10, 12]
    costs = {"tokens_per_second", "data_wait_share", "peak_memory_bytes", "wall_seconds"}
    keys = {"step", "loss", "lr", "grad_norm", "tokens"} | costs
    assert lines[0].keys() == keys
    keys = {"step", "valid_loss", "valid_bits_per_byte", "tokens", "wall_seconds"}
    assert lines[-1].keys() == keys
    assert lines[-1]["valid_loss"] == result.loss
    assert lines[-1]["tokens"] == trainer.tokens == 12 * 4 * 8
    assert [line["lr"] for line in lines if "loss" in line][-1] == 1e-3
    seconds = [line["wall_seconds"] for line in lines]
    assert seconds == sorted(seconds)
    assert trainer.checkpoints.steps() == [10, 12]


def test_what_is_trained_is_what_evaluation_sees(tmp_path, make_trainer):
    trainer = make_trainer(tmp_path, eval_tokens=20)
    result = trainer.train()
    assert result == trainer.evaluate()
    assert result.token_count == 20
    assert trainer.model.training


def test_mfu_is_the_share_of_the_peak_that_the_models_products_take(tmp_path, make_trainer):
    trainer = make_trainer(tmp_path, max_steps=3, execution={"peak_flops": 1e12})
    trainer.train()
    line = read_metrics(trainer)[0]
    # 6 operations a weight and token, embeddings aside, and attention's 12 layers context d_model.
    weights = sum(p.numel() for p in trainer.model.parameters() if p.ndim == 2) - 17 * 16
    flops = 6 * weights + 12 * 1 * 8 * 16
    assert line["mfu"] == pytest.approx(line["tokens_per_second"] * flops / 1e12)
    with pytest.raises(ValueError, match="peak_flops must be above 0"):
        make_trainer(tmp_path, execution={"peak_flops": 0.0})


def test_memory_is_at_least_what_the_process_holds_now(tmp_path, make_trainer):
    held = torch.ones(2**25)  # 128 MiB, every page of it touched
    trainer = make_trainer(tmp_path, max_steps=3)
    trainer.train()
    peak = read_metrics(trainer)[0]["peak_memory_bytes"]
    assert held.nbytes < peak < 2**40


def test_a_run_ends_when_the_validation_loss_has_stopped_falling(tmp_path, make_trainer):
    options = {"max_steps": 100, "eval_every": 2, "checkpoint_every": 50, "patience": 3}
    trainer = make_trainer(tmp_path, **options)
    losses = iter([5.0, 4.0, 4.5, 3.0, 3.5, 3.0, 3.1])  # 3.0 again is no gain
    given = trainer.evaluate
    trainer.evaluate = lambda: replace(given(), loss=next(losses))
    assert trainer.train().loss == 3.1
    assert trainer.step == trainer.checkpoints.latest_step() == 14
    again = make_trainer(tmp_path, **options)
    assert again.resume() == 14
    again.train()
    assert again.step == 14


def no_number(word):
    raise ValueError(f"{word} is not JSON")


def test_an_evaluation_that_is_no_number_is_neither_the_best_nor_the_end(tmp_path, make_trainer):
    options = {"max_steps": 14, "eval_every": 2, "checkpoint_every": 2, "patience": 3}
    trainer = make_trainer(tmp_path, keep_best_checkpoint=True, keep_checkpoints=1, **options)
    losses = iter([math.nan, 5.0, 4.0, math.nan, math.inf, 4.5, 9.9])
    given = trainer.evaluate
    trainer.evaluate = lambda: replace(given(), loss=next(losses))
    trainer.train()
    assert trainer.step == 12  # stale since step 6
    assert trainer.progress.least_valid_loss == 4.0
    assert (trainer.checkpoints.best_step(), trainer.checkpoints.steps()) == (6, [6, 12])
    text = (trainer.run_dir / "metrics.jsonl").read_text()
    lines = [json.loads(line, parse_constant=no_number) for line in text.splitlines()]
    logged = [line["valid_loss"] for line in lines if "valid_loss" in line]
    assert logged == [None, 5.0, 4.0, None, None, 4.5]
    again = make_trainer(tmp_path, **options)
    assert again.resume() == 12
    assert again.progress == trainer.progress


def test_a_state_holds_json_whatever_was_evaluated_and_an_old_one_with_nan_is_no_best():
    progress = Progress(step=5)
    progress.note_evaluation(math.nan)
    assert (progress.valid_loss, progress.least_valid_loss) == (None, None)
    json.dumps(progress.to_dict(), allow_nan=False)
    old = Progress.from_dict({**progress.to_dict(), "least_valid_loss": math.nan})
    old.note_evaluation(3.0)
    assert (old.least_valid_loss, old.stale_evaluations) == (3.0, 0)


def test_in_bf16_the_weights_stay_fp32(tmp_path, make_trainer):
    trainer = make_trainer(tmp_path, max_steps=4, execution={"precision": "bf16"})
    trainer.train()
    exact = make_trainer(tmp_path, run="exact", max_steps=4)
    exact.train()
    ours, theirs = read_metrics(trainer)[0]["loss"], read_metrics(exact)[0]["loss"]
    assert ours != theirs
    assert ours == pytest.approx(theirs, rel=1e-2)  # bf16 has 8 significant bits
    assert {parameter.dtype for parameter in trainer.model.parameters()} == {torch.float32}


class Recorder:
    def __init__(self):
        self.lines = []
        self.is_closed = False

    def log(self, step, metrics):
        self.lines.append({"step": step, **metrics})

    def close(self):
        self.is_closed = True


class Broken:
    def log(self, step, metrics):
        raise ConnectionError("no network")

    def close(self):
        raise AssertionError("a logger that is out is left in peace")


def test_loggers_get_every_line_and_may_fail(tmp_path, make_trainer):
    recorder = Recorder()
    trainer = make_trainer(tmp_path, loggers=(Broken(), recorder))
    with pytest.warns(RuntimeWarning, match="Broken failed"):
        trainer.train()
    assert recorder.lines == read_metrics(trainer)
    assert recorder.is_closed


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_loss_that_is_no_number_stops_the_run_before_it_is_saved(tmp_path, make_trainer, where):
    trainer = make_trainer(tmp_path, log_every=100)

    def spoil(*_):
        if trainer.step != 7:
            return
        weight = trainer.model.lm_head.weight
        if where == "loss":
            weight.data[0, 0] = float("nan")
        else:
            weight.grad[0, 0] = float("inf")

    trainer.optimizer.register_step_pre_hook(spoil)
    with pytest.raises(FloatingPointError, match=r"at step 9 the loss is nan.*from step 5"):
        trainer.train()
    assert trainer.checkpoints.steps() == [5]


def test_a_gradient_that_is_no_number_is_noticed_in_its_own_step(tmp_path, make_trainer):
    trainer = make_trainer(tmp_path, log_every=1)
    trainer.model.lm_head.weight.register_hook(
        lambda grad: grad * (float("inf") if trainer.step == 3 else 1.0)
    )
    with pytest.raises(FloatingPointError, match=r"at step 4 the loss is [0-9.]+ and the gradient"):
        trainer.train()


def test_a_directory_with_a_run_is_not_overwritten(tmp_path, make_trainer):
    make_trainer(tmp_path).train()
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(ValueError, match=r"holds a run that is at step 20.*call resume\(\)"):
        make_trainer(tmp_path).train()
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


@pytest.fixture
def updates(monkeypatch) -> list[int]:
    """Grows with each update of any trainer: the steps that were made."""
    made = []
    update = Trainer._update

    def count(trainer, batch):
        made.append(trainer.step)
        return update(trainer, batch)

    monkeypatch.setattr(Trainer, "_update", count)
    return made


def test_a_disk_without_room_for_a_checkpoint_is_told_before_the_first_step(
    tmp_path, make_trainer, monkeypatch, updates
):
    trainer = make_trainer(tmp_path)
    needed = disk_space.checkpoint_bytes(trainer.model, trainer.optimizer)
    monkeypatch.setattr(disk_space, "free_bytes", lambda path: needed - 1)
    with pytest.raises(OSError, match=r"a checkpoint takes 0\.\d MB, .*checkpoints has .*room"):
        trainer.train()
    assert updates == []
    assert not trainer.checkpoints.directory.exists()
    monkeypatch.setattr(disk_space, "free_bytes", lambda path: 2 * needed)
    trainer.train()
    assert updates == [*range(20)]


HOLD_A_RUN = """
import sys, time
from pathlib import Path
from trainkit import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_run_that_another_process_trains_is_refused_before_the_first_step(
    tmp_path, make_trainer, updates
):
    trainer = make_trainer(tmp_path)
    command = [sys.executable, "-c", HOLD_A_RUN, str(trainer.run_dir)]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as child:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError, match=f"in use by process {child.pid} "):
            trainer.train()
        assert updates == []
        assert [path.name for path in trainer.run_dir.iterdir()] == ["lock"]
    trainer.train()
    assert updates == [*range(20)]


def test_what_does_not_fit_together_is_refused_before_the_first_step(
    tmp_path, make_trainer, make_model, write_tokens
):
    with pytest.raises(ValueError, match="context_length 500 and its target need 501"):
        make_trainer(tmp_path, model=make_model(context_length=500))
    with pytest.raises(ValueError, match="ids below 17, the model's vocab_size is 16"):
        make_trainer(tmp_path, model=make_model(vocab_size=16))
    with pytest.raises(ValueError, match=r"model is on cpu, execution\.device is 'meta'"):
        make_trainer(tmp_path, execution={"device": "meta"})
    data, one = (
        TokenDataset(write_tokens(np.zeros(count, np.uint16), f"{count}.npy")) for count in (99, 1)
    )
    model, config = make_model(), TrainConfig()
    with pytest.raises(ValueError, match="fewer than the 2 tokens"):
        Trainer(model, make_optimizer(model, config), data, one, config, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


class At(nn.Module):
    """A model on a device that this machine need not have."""

    def __init__(self, device):
        super().__init__()
        self._device = torch.device(device)

    def parameters(self, recurse=True):
        return iter([SimpleNamespace(device=self._device)])


@pytest.mark.parametrize(
    ("told", "at"), [("cuda", "cuda:1"), ("cuda:1", "cuda:1"), ("cpu", "cpu"), ("cpu:0", "cpu")]
)
def test_what_is_computed_on_is_the_very_device_of_the_model(told, at):
    assert at_model(Execution(told, "bf16"), At(at)) == Execution(at, "bf16")


@pytest.mark.parametrize(("told", "at"), [("cuda:0", "cuda:1"), ("cpu", "cuda:0"), ("cuda", "cpu")])
def test_a_model_on_another_device_is_refused(told, at):
    with pytest.raises(ValueError, match=rf"model is on {at}, execution\.device is '{told}'"):
        at_model(Execution(told), At(at))


def test_batches_are_made_where_the_model_is(tmp_path, make_trainer, monkeypatch):
    """Also on the threads, to which a kind of device alone would mean the first of them."""
    monkeypatch.setattr(
        "trainkit.trainer.at_model", lambda execution, _: replace(execution, device="meta")
    )
    trainer = make_trainer(tmp_path)
    assert trainer.execution.device == "meta"
    with trainer._prefetcher() as batches:
        assert next(batches).inputs.device.type == "meta"


def test_a_directory_that_the_caller_holds_is_trained_in_and_stays_held(tmp_path, make_trainer):
    with RunLock(tmp_path / "run"):
        with pytest.raises(BlockingIOError):
            make_trainer(tmp_path).train()
        make_trainer(tmp_path, is_locked=True).train()
        with pytest.raises(BlockingIOError), RunLock(tmp_path / "run"):
            pytest.fail("two hold it")
