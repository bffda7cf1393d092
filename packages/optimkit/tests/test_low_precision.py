"""bf16 and fp16 parameters: trained as fp32 ones are (parity), and through a state (property)."""

import copy

import pytest
import torch
from optimkit import SGD, AdamW, Lion, Muon

MAKERS = [
    pytest.param(lambda params: AdamW(params, lr=1e-3), id="adamw"),
    pytest.param(lambda params: AdamW(params, lr=1e-3, impl="reference"), id="adamw-reference"),
    pytest.param(lambda params: SGD(params, lr=1e-3, momentum=0.9), id="sgd"),
    pytest.param(lambda params: Lion(params, lr=1e-4), id="lion"),
    pytest.param(lambda params: Muon(params, lr=1e-3, precision="fp32"), id="muon"),
]
DTYPES = [torch.bfloat16, torch.float16]


def start(dtype):
    return torch.randn(6, 5, generator=torch.Generator().manual_seed(0)).to(dtype)


def train(optimizer, steps):
    (weight,) = optimizer.param_groups[0]["params"]
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        # Representable in both: the fp32 twin gets the same gradients.
        grad = torch.randn(weight.shape, generator=generator).bfloat16()
        weight.grad = grad.to(weight.dtype)
        optimizer.step()
    return weight


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_run_ends_bit_for_bit_where_one_in_fp32_ends_rounded(make, dtype):
    low = make([torch.nn.Parameter(start(dtype))])
    full = make([torch.nn.Parameter(start(dtype).float())])
    weight, expected = train(low, range(100)), train(full, range(100))
    assert weight.dtype == dtype
    assert torch.equal(weight, expected.to(dtype))
    assert torch.equal(weight + low.state[weight]["remainder"], expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_updates_too_small_for_the_dtype_add_up(dtype):
    # The spacing of bf16 numbers below 1 is 2^-8, of fp16 2^-11: a step of 1e-5 is lost in both,
    # and torch's own weight stays 1 for ever.
    ours, theirs = (torch.nn.Parameter(torch.ones(1, dtype=dtype)) for _ in range(2))
    optimizers = SGD([ours], lr=1e-5), torch.optim.SGD([theirs], lr=1e-5)
    for _ in range(1000):
        for weight, optimizer in zip((ours, theirs), optimizers, strict=True):
            weight.grad = torch.ones_like(weight)
            optimizer.step()
    assert theirs == 1
    assert ours.item() == pytest.approx(0.99, abs=torch.finfo(dtype).eps)


def test_all_states_are_fp32():
    optimizer = AdamW([torch.nn.Parameter(start(torch.bfloat16))])
    state = optimizer.state[train(optimizer, range(2))]
    assert {name: value.dtype for name, value in state.items()} == dict.fromkeys(
        ("step", "exp_avg", "exp_avg_sq", "remainder"), torch.float32
    )


@pytest.mark.parametrize("make", MAKERS)
def test_a_resumed_run_is_bit_for_bit_one_that_never_stopped(make):
    never_stopped, stopped = (make([torch.nn.Parameter(start(torch.bfloat16))]) for _ in range(2))
    expected, weight = train(never_stopped, range(40)), train(stopped, range(17))
    resumed = make([torch.nn.Parameter(weight.detach().clone())])
    resumed.load_state_dict(copy.deepcopy(stopped.state_dict()))
    assert torch.equal(train(resumed, range(17, 40)), expected)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_run_that_goes_on_in_fp32_loses_nothing_and_keeps_no_remainder(make, dtype):
    low = make([torch.nn.Parameter(start(dtype))])
    weight = train(low, range(9))
    full = make([torch.nn.Parameter(weight.detach().float())])
    full.load_state_dict(copy.deepcopy(low.state_dict()))
    expected = train(make([torch.nn.Parameter(start(dtype).float())]), range(17))
    weight = train(full, range(9, 17))
    assert torch.equal(weight, expected)
    assert "remainder" not in full.state[weight]


def test_weights_that_are_loaded_between_two_steps_count():
    optimizer = SGD([torch.nn.Parameter(start(torch.bfloat16))], lr=1e-3)
    weight = train(optimizer, range(5))
    with torch.no_grad():
        weight.fill_(100.0)
    train(optimizer, range(5, 6))
    torch.testing.assert_close(weight, torch.full_like(weight, 100.0))


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [0.0, 1e-4, 1.0, 100.0])
def test_weights_that_are_loaded_are_left_as_they_are_by_a_rate_of_zero(make, dtype, size):
    optimizer = make([torch.nn.Parameter(start(dtype))])
    weight = train(optimizer, range(5))
    loaded = (size * start(torch.float32).flip(0)).to(dtype)
    with torch.no_grad():
        weight.copy_(loaded)
    optimizer.param_groups[0]["lr"] = 0.0
    assert torch.equal(train(optimizer, range(5, 6)), loaded)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_step_from_zeros_that_were_loaded_is_one_from_zeros(dtype):
    optimizer = SGD([torch.nn.Parameter(start(dtype))], lr=1e-3)
    weight = train(optimizer, range(5))
    with torch.no_grad():
        weight.zero_()
    train(optimizer, range(5, 6))
    fresh = SGD([torch.nn.Parameter(torch.zeros_like(weight))], lr=1e-3)
    assert torch.equal(weight, train(fresh, range(5, 6)))


def test_an_overflow_stays_infinite():
    weight = torch.nn.Parameter(torch.tensor([6e4, 1.0], dtype=torch.float16))
    optimizer = SGD([weight], lr=1.0)
    for grad in (-6e4, 0.0, 0.0):
        weight.grad = torch.tensor([grad, 0.0], dtype=torch.float16)
        optimizer.step()
    assert weight.tolist() == [float("inf"), 1.0]


TWINS = [
    pytest.param(AdamW, torch.optim.AdamW, {}, id="adamw"),
    pytest.param(AdamW, torch.optim.AdamW, {"impl": "reference"}, id="adamw-reference"),
    pytest.param(SGD, torch.optim.SGD, {}, id="sgd"),
    pytest.param(SGD, torch.optim.SGD, {"momentum": 0.9}, id="sgd-momentum"),
]


@pytest.mark.parametrize(("our_class", "their_class", "options"), TWINS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_that_torch_moved_in_between_are_ours(our_class, their_class, options, dtype):
    start_of_ours = our_class([torch.nn.Parameter(start(dtype))], lr=1e-3, **options)
    weight = train(start_of_ours, range(5))
    theirs = their_class([torch.nn.Parameter(weight.detach().clone())], foreach=False)
    theirs.load_state_dict(start_of_ours.state_dict())
    # Down to some 1e-3, of the size of the remainder of a 1.
    theirs.param_groups[0]["weight_decay"] = 1e3
    moved = train(theirs, range(5, 6)).detach().clone()
    back = our_class([torch.nn.Parameter(moved.clone())])
    back.load_state_dict(theirs.state_dict())
    back.param_groups[0]["lr"] = 0.0
    assert moved.abs().max() < 0.01
    assert torch.equal(train(back, range(6, 7)), moved)


def test_a_state_of_torchs_adamw_goes_on_in_fp32():
    theirs = torch.optim.AdamW([torch.nn.Parameter(start(torch.bfloat16))])
    weight = train(theirs, range(5))
    ours = AdamW([torch.nn.Parameter(weight.detach().clone())])
    ours.load_state_dict(theirs.state_dict())
    state = ours.state[train(ours, range(5, 6))]
    assert state["exp_avg"].dtype == torch.float32
    assert state["step"] == 6


def test_parameters_of_both_kinds_may_share_a_group():
    low, full = (
        torch.nn.Parameter(torch.ones(2, dtype=torch.bfloat16)),
        torch.nn.Parameter(torch.ones(2)),
    )
    low.grad, full.grad = torch.ones_like(low), torch.ones_like(full)
    AdamW([low, full], lr=0.25).step()
    assert torch.equal(low, full.bfloat16())
