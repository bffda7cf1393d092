"""Averaged weights. Parity: with the formula and torch. Property: saved, and only looked on."""

import json

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from trainkit import CheckpointManager, WeightAverage


def move(model, step):
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("tied", [False, True])
def test_the_average_is_that_of_the_formula(make_model, tied):
    model = make_model(tied_embeddings=tied)
    average = WeightAverage(model, 0.6)
    expected = {name: weight.clone() for name, weight in model.state_dict().items()}
    for step in range(1, 16):
        move(model, step)
        average.update(model, step)
        decay = min(0.6, (1 + step) / (10 + step))  # 0.6 from step 13 on
        for name, weight in model.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * weight
    assert average.tensors().keys() == expected.keys()
    for name, weight in average.tensors().items():
        torch.testing.assert_close(weight, expected[name])


def test_far_from_the_start_it_is_torchs(make_model):
    model = make_model()
    ours = WeightAverage(model, 0.9)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    theirs.n_averaged.fill_(1)  # else torch's first update is a copy
    for step in range(1_000, 1_010):
        move(model, step)
        ours.update(model, step)
        theirs.update_parameters(model)
    for our, their in zip(ours.model.parameters(), theirs.module.parameters(), strict=True):
        torch.testing.assert_close(our, their)


def read_metrics(trainer):
    lines = (trainer.run_dir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_run_evaluates_and_saves_it_beside_the_weights(tmp_path, make_trainer):
    trainer = make_trainer(tmp_path, ema_decay=0.9)
    trainer.train()
    plain = make_trainer(tmp_path, run="plain")
    plain.train()
    for ours, weight in zip(trainer.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(ours, weight)  # it is looked on, no more
    last = read_metrics(trainer)[-1]
    trainer.model.load_state_dict(trainer.average.tensors())
    averaged = trainer.evaluate()
    assert last["valid_ema_loss"] == averaged.loss != last["valid_loss"]
    assert last["valid_ema_bits_per_byte"] == averaged.bits_per_byte
    saved = CheckpointManager(trainer.run_dir / "checkpoints").load_more("ema")
    for name, weight in trainer.average.tensors().items():
        assert torch.equal(saved[name], weight)
        assert not weight.requires_grad


def test_a_checkpoint_without_an_average_cannot_go_on_with_one(tmp_path, make_trainer):
    make_trainer(tmp_path, max_steps=5).train()
    with pytest.raises(ValueError, match=r"no averaged weights.*ema_decay=None"):
        make_trainer(tmp_path, ema_decay=0.9).resume()
