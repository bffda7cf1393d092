"""Properties of the number of updates that a time is enough for."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from nnparts import TransformerLM
from trainkit import Batch, Execution, TrainConfig, updates_within


@pytest.fixture
def batch() -> Batch:
    ids = torch.randint(17, (4, 9), generator=torch.Generator().manual_seed(0))
    return Batch(ids[:, :-1], ids[:, 1:])


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_timing_moves_neither_weights_nor_random_state(
    make_model: Callable[..., TransformerLM], batch: Batch, optimizer: Any
) -> None:
    model = make_model(dropout=0.1)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    state = torch.get_rng_state()
    config = TrainConfig(batch_size=4, gradient_accumulation_steps=2, optimizer=optimizer)
    updates_within(1.0, model, batch, config, Execution())
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_updates_are_the_time_over_that_of_one(
    make_model: Callable[..., TransformerLM], batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(1_000))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))  # each update takes 1 s
    model, config = make_model(), TrainConfig(batch_size=4)
    assert updates_within(1_000.0, model, batch, config, Execution()) == 950


def test_no_time_is_still_an_update(make_model: Callable[..., TransformerLM], batch: Batch) -> None:
    assert updates_within(-5.0, make_model(), batch, TrainConfig(batch_size=4), Execution()) == 1
