"""What a run will take. Table: updates that fit. Properties: a rehearsal times what is done, alone.

Time is a clock that the model and a logger move on: 1 s an update, 0.25 s a batch of an evaluation.
"""

import pytest
import torch
from nnparts import TransformerConfig
from torch import nn
from trainkit import Execution, Pace, TrainConfig, rehearse


@pytest.mark.parametrize(
    ("seconds", "updates"),
    [
        (38.0, 9),  # one evaluation, after the last update
        (40.0, 10),  # 10 updates and an evaluation: to the second
        (59.9, 10),  # no more without a second evaluation
        (62.0, 11),
        (80.0, 20),
        (0.0, 1),
        (-5.0, 1),
    ],
)
def test_updates_fit_with_their_evaluations(seconds, updates):
    assert Pace(update=2.0, evaluation=20.0).updates_within(seconds, eval_every=10) == updates


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def __deepcopy__(self, memo):
        return self  # the averaged model tells the same time


class TimedModel(nn.Module):
    """Takes 1 s to learn from a batch, the first time 60, and 0.25 s to be evaluated on one.

    Twice something else keeps it waiting for 30 s.
    """

    def __init__(self, clock):
        super().__init__()
        self.config = TransformerConfig(17, 8, d_model=16, num_layers=1, num_heads=2)
        self.table = nn.Parameter(torch.randn(17, 17, generator=torch.Generator().manual_seed(0)))
        self.clock, self.compiling, self.passes = clock, 59.0, 0

    def forward(self, token_ids):
        self.clock.now += 1.0 + self.compiling if self.training else 0.25
        self.compiling, self.passes = 0.0, self.passes + 1
        if self.passes in (3, 5):
            self.clock.now += 30.0
        return nn.functional.dropout(self.table[token_ids], 0.1, self.training)


class Draughtsman:
    """A logger that takes 5 s for an evaluation."""

    def __init__(self, clock):
        self.clock = clock

    def log(self, step, metrics):
        self.clock.now += 5.0 if "valid_loss" in metrics else 0.0

    def close(self):
        pass


@pytest.fixture
def rehearsed(tmp_path, make_trainer):
    """Rehearses a run on 499 tokens of validation, by 16 windows of 8; the model, and the pace."""

    def run(updates=5, **changes):
        clock = Clock()
        model = TimedModel(clock)
        data = make_trainer(tmp_path, model=model).train_data
        config = TrainConfig(batch_size=2, **changes)
        pace = rehearse(
            model,
            data,
            data,
            config,
            Execution(),
            updates=updates,
            directory=tmp_path,
            make_loggers=lambda run_dir: [Draughtsman(clock)],
            clock=clock,
        )
        return model, pace

    return run


@pytest.mark.parametrize(
    ("changes", "batches"),
    [
        # 128 of 499 tokens are predicted: a window, 7 batches of 2 windows, and one that is left.
        ({}, 9 * 499 / 128),
        ({"eval_tokens": 256}, 9 * 256 / 128),
        ({"eval_tokens": 24}, 2),  # a window, and a batch of 2
        ({"eval_tokens": 24, "ema_decay": 0.9}, 4),
    ],
)
def test_a_rehearsal_times_what_a_run_does_again_and_again(rehearsed, changes, batches):
    _, pace = rehearsed(**changes)
    assert pace.update == pytest.approx(1.0)
    assert pace.evaluation == pytest.approx(0.25 * batches + 5.0)


@pytest.mark.parametrize("updates", [5, 10, 11, 37, 100])
def test_what_keeps_the_machine_busy_for_a_while_does_not_count(rehearsed, updates):
    model, pace = rehearsed(updates, eval_tokens=24)
    assert pace.update == pytest.approx(1.0)
    assert model.passes >= updates + 2


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_rehearsal_leaves_nothing_behind(tmp_path, make_trainer, make_model, optimizer):
    model = make_model(dropout=0.1)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    data = make_trainer(tmp_path).train_data
    files, state = sorted(tmp_path.iterdir()), torch.get_rng_state()
    config = TrainConfig(batch_size=4, optimizer=optimizer, warmup_steps=900)
    rehearse(model, data, data, config, Execution(), updates=3, directory=tmp_path)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert sorted(tmp_path.iterdir()) == files


def test_a_rehearsal_of_no_updates_is_refused(tmp_path, make_trainer, make_model):
    data = make_trainer(tmp_path).train_data
    with pytest.raises(ValueError, match="at least 1 update to be timed, got 0"):
        rehearse(
            make_model(), data, data, TrainConfig(), Execution(), updates=0, directory=tmp_path
        )
