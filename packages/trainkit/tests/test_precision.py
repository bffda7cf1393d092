"""Precision. Table: measured times and the choice they lead to. Property: nothing stays changed."""

from contextlib import suppress

import pytest
import torch
from trainkit import measure_precision, precision_context
from trainkit import measuring as module
from trainkit.measuring import MEASURED


def onednn_flag() -> str:
    return torch.backends.mkldnn.matmul.fp32_precision


def test_the_context_ends_with_its_block():
    before = onednn_flag()
    with suppress(KeyError), precision_context("fp32-onednn", "cpu"):
        assert onednn_flag() == "bf16"
        raise KeyError
    assert onednn_flag() == before
    x = torch.ones(4, 4)
    with precision_context("bf16", "cpu"):
        assert (x @ x).dtype == torch.bfloat16
        with precision_context("fp32", "cpu"):
            assert (x @ x).dtype == torch.float32
        with precision_context("fp16", "cpu"):
            assert (x @ x).dtype == torch.float16
    assert (x @ x).dtype == torch.float32


def test_what_there_is_not_is_refused():
    with (
        pytest.raises(ValueError, match="needs a CPU"),
        precision_context("fp32-onednn", "cuda"),
    ):
        pass


@pytest.mark.parametrize(
    ("times", "errors", "choice", "rejected"),
    [
        ({"fp32-onednn": 0.5, "bf16": 0.4}, {}, "bf16", set()),
        ({"fp32-onednn": 0.5, "bf16": 0.6}, {}, "fp32-onednn", set()),
        ({"fp32-onednn": 0.95, "bf16": 0.95}, {}, "fp32", {"fp32-onednn", "bf16"}),
        ({"fp32-onednn": 0.5, "bf16": 600.0}, {}, "fp32-onednn", {"bf16"}),
        # With AMX that flag computes in bf16: fast, and not what it is called.
        ({"fp32-onednn": 0.3, "bf16": 0.4}, {"fp32-onednn": 2e-3}, "bf16", {"fp32-onednn"}),
        ({"fp32-onednn": 0.3, "bf16": 0.4}, {"fp32-onednn": float("nan")}, "bf16", {"fp32-onednn"}),
    ],
)
def test_the_fastest_right_one_is_chosen(monkeypatch, make_model, times, errors, choice, rejected):
    timed = []

    def seconds(precision, work, device):
        timed.append(precision)
        return {"fp32": 1.0, **times}[precision]

    monkeypatch.setattr(module, "has_onednn", lambda device_type: True)
    monkeypatch.setattr(module, "seconds_of", seconds)
    monkeypatch.setattr(module, "_matmul_error", lambda name, device: errors.get(name, 0.0))
    token_ids = torch.zeros(2, 8, dtype=torch.int64)
    report = measure_precision(make_model(), token_ids, token_ids)
    assert report.choice == choice
    assert report.rejected.keys() == rejected
    assert report.choice in report.summary()
    assert "fp16" not in timed
    assert times["bf16"] < 100 or timed.count("bf16") == 4  # hopeless: the smallest product only


def test_a_model_that_gains_less_than_its_matmuls_stays_in_fp32(monkeypatch, make_model):
    monkeypatch.setattr(module, "_screen", lambda device, rejected: {"fp32": 1.0, "bf16": 0.5})
    monkeypatch.setattr(
        module, "seconds_of", lambda precision, *_: {"fp32": 1.0, "bf16": 0.95}[precision]
    )
    token_ids = torch.zeros(2, 8, dtype=torch.int64)
    report = measure_precision(make_model(), token_ids, token_ids)
    assert report.choice == "fp32"
    assert report.step_seconds == {"fp32": 1.0, "bf16": 0.95}


def test_measuring_leaves_model_gradients_and_generators_alone(monkeypatch, make_model):
    model = make_model()
    token_ids = torch.randint(17, (2, 8))
    model(token_ids).sum().backward()
    weights = [parameter.clone() for parameter in model.parameters()]
    grads = [parameter.grad.clone() for parameter in model.parameters()]
    # Both candidates go all the way, whatever this machine is good at.
    monkeypatch.setattr(module, "_LADDER", {8: float("inf")})
    state, flag = torch.get_rng_state(), onednn_flag()
    report = measure_precision(model, token_ids, token_ids, rounds=1)
    assert report.step_seconds.keys() == set(MEASURED) - report.rejected.keys()
    assert report.choice in MEASURED
    assert torch.equal(torch.get_rng_state(), state)
    assert onednn_flag() == flag
    for parameter, weight, grad in zip(model.parameters(), weights, grads, strict=True):
        assert torch.equal(parameter, weight)
        assert torch.equal(parameter.grad, grad)


def test_fp32_is_fp32_on_this_machine():
    assert module._matmul_error("fp32", torch.device("cpu")) < 1e-6
    assert 1e-4 < module._matmul_error("bf16", torch.device("cpu")) < 2e-2
