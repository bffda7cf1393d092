"""fp16 and the scale of its loss. Parity: torch's GradScaler, and the same in fp32.

Property: an update that overflows is left out; a resumed run is the run that never stopped.
"""

import json
import math

import numpy as np
import pytest
import torch
from trainkit import AnomalyError, Batch, Execution, TrainConfig, make_optimizer
from trainkit import loss_scale as module
from trainkit.loss_scale import LossScale
from trainkit.step import Stepper

FP16 = {"execution": {"precision": "fp16"}}


def test_the_scale_goes_the_way_of_torchs(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 3)
    ours, theirs = LossScale(), torch.amp.GradScaler("cpu", growth_interval=3)
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    for is_finite in np.random.default_rng(0).random(100) < 0.8:
        optimizer.zero_grad()
        theirs.scale(weight.sum() * (1.0 if is_finite else math.inf)).backward()
        theirs.unscale_(optimizer)
        theirs.step(optimizer)
        theirs.update()
        assert ours.take(1.0, weight.grad.norm().item()) == is_finite
        assert ours.value == theirs.get_scale()
    assert ours.value != module.INITIAL


@pytest.mark.parametrize(
    ("scale", "loss", "grad_norm", "fits", "then"),
    [
        (4.0, 2.0, 1.0, True, 4.0),
        (4.0, 2.0, math.inf, False, 2.0),
        (4.0, 2.0, math.nan, False, 2.0),
        # What no scale mends is not fp16's doing.
        (4.0, math.nan, math.nan, True, 4.0),
        (1.0, 2.0, math.inf, True, 1.0),
    ],
)
def test_what_fp16_is_to_blame_for(scale, loss, grad_norm, fits, then):
    ours = LossScale()
    ours.value, ours.good_updates = scale, 5
    assert ours.take(loss, grad_norm) == fits
    assert ours.value == then
    again = LossScale()
    again.load(json.loads(json.dumps(ours.to_dict())))
    assert (again.value, again.good_updates) == (ours.value, ours.good_updates)


def gradients(model, precision, scale=None, accumulation=1):
    """Of a batch, by name; and its slope."""
    ids = torch.randint(17, (4, 9), generator=torch.Generator().manual_seed(0))
    config = TrainConfig(
        batch_size=4, gradient_accumulation_steps=accumulation, max_grad_norm=math.inf
    )
    execution = Execution(precision=precision)
    stepper = Stepper(model, make_optimizer(model, config), config, execution)
    if scale is not None:
        stepper.loss_scale.value = scale
    slope = stepper.compute_gradients(Batch(ids[:, :-1], ids[:, 1:]), 0)
    return {name: p.grad for name, p in model.named_parameters()}, slope


def error(ours, exact, prefix=""):
    """Of all gradients whose names begin so, as a share of their norm."""
    ours, exact = (
        torch.cat([grad.flatten() for name, grad in grads.items() if name.startswith(prefix)])
        for grads in (ours, exact)
    )
    return ((ours - exact).norm() / exact.norm()).item()


@pytest.mark.parametrize("accumulation", [1, 4])
def test_gradients_are_those_of_fp32_to_the_digits_of_fp16(make_model, accumulation):
    model = make_model()
    exact, slope = gradients(model, "fp32", accumulation=accumulation)
    ours, ours_slope = gradients(model, "fp16", accumulation=accumulation)
    assert {grad.dtype for grad in ours.values()} == {torch.float32}
    # A product rounds by 2^-12 of itself, and some of them come one after another.
    assert 0 < error(ours, exact) < 2e-3
    assert ours_slope.grad_norm.item() == pytest.approx(slope.grad_norm.item(), rel=2e-3)
    assert ours_slope.loss.item() == pytest.approx(slope.loss.item(), rel=2e-3)


def test_gradients_too_small_for_fp16_are_kept_by_the_scale(make_model):
    model = make_model()
    with torch.no_grad():
        model.lm_head.weight.mul_(1e-3)
        model.ln_final.weight.mul_(1e-2)
    exact, _ = gradients(model, "fp32")
    assert error(gradients(model, "fp16")[0], exact, "layers.") < 1e-2
    assert error(gradients(model, "fp16", scale=1.0)[0], exact, "layers.") > 0.1


def test_an_overflow_leaves_the_update_out_and_halves_the_scale(tmp_path, make_trainer):
    trainer = make_trainer(tmp_path, log_every=1, checkpoint_every=100, **FP16)
    trainer._stepper.loss_scale.value = 2.0**30
    seen, made = [], []
    compute = trainer._stepper.compute_gradients

    def note(batch, number):
        weights = [p.detach().clone() for p in trainer.model.parameters()]
        slope = compute(batch, number)
        seen.append((weights, slope.grad_norm.isfinite().item()))
        return slope

    trainer._stepper.compute_gradients = note
    trainer.optimizer.register_step_pre_hook(lambda *_: made.append(trainer.step))
    trainer.train()
    lost = [step for step, (_, is_finite) in enumerate(seen) if not is_finite]
    assert 1 <= len(lost) < 20
    assert made == [step for step in range(20) if step not in lost]
    assert trainer._stepper.loss_scale.value == 2.0 ** (30 - len(lost))
    assert trainer.progress.skipped_steps == len(lost)
    for step in lost:
        for before, after in zip(seen[step][0], seen[step + 1][0], strict=True):
            assert torch.equal(before, after)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] - 1 for line in lines if "loss" in line] == made
    assert not (tmp_path / "run" / "anomalies").exists()


def test_a_gradient_that_overflows_at_any_scale_is_an_anomaly(tmp_path, make_trainer):
    trainer = make_trainer(tmp_path, max_steps=60, **FP16)
    trainer.model.lm_head.weight.register_hook(
        lambda grad: grad * (math.inf if trainer.step >= 12 else 1.0)
    )
    with pytest.raises(AnomalyError, match=r"at step \d+ the loss is [0-9.]+ and the gradient's"):
        trainer.train()
    assert trainer._stepper.loss_scale.value == 1
    assert trainer.progress.skipped_steps == math.log2(module.INITIAL)
    assert all(p.isfinite().all() for p in trainer.model.parameters())


def test_a_loss_that_is_no_number_is_an_anomaly_before_it_is_learnt(tmp_path, make_trainer):
    trainer = make_trainer(tmp_path, log_every=100, **FP16)
    weight = trainer.model.ln_final.weight

    def spoil(*_):
        if trainer.step == 6:
            weight.data[0] = math.nan

    trainer.optimizer.register_step_post_hook(spoil)
    with pytest.raises(AnomalyError, match=r"at step 8 the loss is nan"):
        trainer.train()
    assert trainer.step == 7
    assert trainer._stepper.loss_scale.value == module.INITIAL / 2**trainer.progress.skipped_steps


@pytest.mark.parametrize("stops", [(7,), (9, 12), (18, 18, 20)])
def test_a_resumed_run_goes_on_with_its_scale(tmp_path, make_trainer, monkeypatch, stop_at, stops):
    """Which moves all the time here: too great at the start, and soon doubled."""
    monkeypatch.setattr(module, "INITIAL", 2.0**28)
    monkeypatch.setattr(module, "PATIENCE", 2)
    undisturbed = make_trainer(tmp_path, run="undisturbed", **FP16)
    undisturbed.train()
    for stop in stops:
        trainer = make_trainer(tmp_path, loggers=(stop_at(stop),), **FP16)
        trainer.resume()
        with pytest.raises(SystemExit):
            trainer.train()
    trainer = make_trainer(tmp_path, **FP16)
    assert trainer.resume() > 0
    trainer.train()
    assert trainer.progress == undisturbed.progress
    assert 2 < trainer.progress.skipped_steps < 18
    ours, theirs = (vars(each._stepper.loss_scale) for each in (trainer, undisturbed))
    assert ours == theirs
    for our, their in zip(trainer.model.parameters(), undisturbed.model.parameters(), strict=True):
        assert torch.equal(our, their)
    for index, state in undisturbed.optimizer.state_dict()["state"].items():
        for name, value in state.items():
            assert torch.equal(trainer.optimizer.state_dict()["state"][index][name], value)


def test_a_run_may_go_on_in_fp16_that_began_in_another_precision(tmp_path, make_trainer, stop_at):
    with pytest.raises(SystemExit):
        make_trainer(tmp_path, loggers=(stop_at(9),)).train()
    trainer = make_trainer(tmp_path, **FP16)
    assert trainer.resume() == 5
    trainer.train()
    assert trainer.step == 20
