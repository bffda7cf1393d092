"""Schedule and optimizer by name. Parity: with optimkit's own. Table: a run by each learns."""

import json
from functools import partial

import optimkit
import pytest
import torch
from trainkit import TrainConfig, learning_rate, make_optimizer

ENDS = {"max_lr": 1e-2, "min_lr": 1e-3, "warmup_steps": 5}
SCHEDULES = {
    "cosine": partial(optimkit.cosine_schedule, **ENDS, decay_steps=40),
    "linear": partial(optimkit.linear_schedule, **ENDS, decay_steps=40),
    "wsd": partial(optimkit.wsd_schedule, **ENDS, stable_steps=30, decay_steps=40),
    "constant": partial(optimkit.constant_schedule, max_lr=1e-2, warmup_steps=5),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_optimkits(name):
    config = TrainConfig(schedule=name, max_steps=50, decay_steps=40, decay_fraction=0.25, **ENDS)
    for step in range(51):
        assert learning_rate(step, config) == SCHEDULES[name](step), step


def test_muon_is_for_hidden_matrices_and_takes_its_numbers_from_the_config(make_model):
    model = make_model()
    config = TrainConfig(optimizer="muon", momentum=0.8, beta1=0.6, beta2=0.7, eps=1e-3, max_lr=0.5)
    optimizer = make_optimizer(model, config)
    assert isinstance(optimizer, optimkit.Muon)
    hidden, head, resting = optimizer.param_groups
    assert [group["rule"] for group in (hidden, head, resting)] == ["muon", "adamw", "adamw"]
    assert [group["weight_decay"] for group in (hidden, head, resting)] == [0.1, 0.1, 0.0]
    assert {parameter.shape for parameter in head["params"]} == {model.lm_head.weight.shape}
    assert (hidden["momentum"], hidden["eps"], hidden["lr"]) == (0.8, 1e-7, 0.5)
    assert (head["betas"], head["eps"], resting["eps"]) == ((0.6, 0.7), 1e-3, 1e-3)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("schedule", ["wsd", "constant"])
def test_a_run_takes_optimizer_and_schedule_from_its_config(
    tmp_path, make_trainer, optimizer, schedule
):
    trainer = make_trainer(tmp_path, optimizer=optimizer, schedule=schedule, log_every=1)
    trainer.train()
    lines = (trainer.run_dir / "metrics.jsonl").read_text().splitlines()
    lrs = [line["lr"] for line in map(json.loads, lines) if "lr" in line]
    assert lrs == [learning_rate(step, trainer.config) for step in range(1, 21)]
    assert lrs[-1] == (1e-3 if schedule == "wsd" else 1e-2)
    again = make_trainer(tmp_path, optimizer=optimizer, schedule=schedule)
    assert again.resume() == 20
    for ours, weight in zip(again.model.parameters(), trainer.model.parameters(), strict=True):
        assert torch.equal(ours, weight)
