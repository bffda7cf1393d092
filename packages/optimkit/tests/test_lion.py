"""Lion: against its formula in numpy (parity); what its signs promise (property)."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optimkit import Lion


def by_formula(weight, grads, lr, betas, weight_decay):
    """Chen et al. 2023, algorithm 2, in fp64."""
    exp_avg = np.zeros_like(weight)
    for grad in grads:
        direction = np.sign(betas[0] * exp_avg + (1 - betas[0]) * grad)
        weight = weight - lr * (direction + weight_decay * weight)
        exp_avg = betas[1] * exp_avg + (1 - betas[1]) * grad
    return weight


@given(
    shape=st.lists(st.integers(0, 6), max_size=3),
    lr=st.floats(0, 1),
    betas=st.tuples(st.floats(0, 0.99), st.floats(0, 0.999)),
    weight_decay=st.floats(0, 1),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=50, deadline=None)
def test_many_steps_are_the_formula(shape, lr, betas, weight_decay, seed):
    draw = np.random.default_rng(seed)
    start, *grads = draw.normal(size=(11, *shape))
    weight = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = Lion([weight], lr=lr, betas=betas, weight_decay=weight_decay)
    for grad in grads:
        weight.grad = torch.tensor(grad, dtype=torch.float64)
        optimizer.step()
    expected = by_formula(start, grads, lr, betas, weight_decay)
    np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_every_weight_moves_by_lr_however_small_its_gradient():
    weight = torch.nn.Parameter(torch.zeros(3))
    weight.grad = torch.tensor([1e-20, -1e20, 0.0])
    Lion([weight], lr=0.5).step()
    assert weight.tolist() == [-0.5, 0.5, 0.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_its_state_makes_the_round_trip(dtype):
    def train(optimizer, steps):
        (weight,) = optimizer.param_groups[0]["params"]
        for step in steps:
            generator = torch.Generator().manual_seed(step)
            weight.grad = torch.randn(7, generator=generator).to(dtype)
            optimizer.step()

    def made(start):
        return Lion([torch.nn.Parameter(start.clone())], lr=0.01, weight_decay=0.1)

    start = torch.linspace(-1, 1, 7).to(dtype)
    never_stopped, stopped = made(start), made(start)
    train(never_stopped, range(20))
    train(stopped, range(8))
    resumed = made(stopped.param_groups[0]["params"][0].detach())
    resumed.load_state_dict(stopped.state_dict())
    train(resumed, range(8, 20))
    for ours, theirs in zip(
        resumed.param_groups[0]["params"], never_stopped.param_groups[0]["params"], strict=True
    ):
        assert torch.equal(ours, theirs)
