"""RMSNorm and the activations by torch. Parity: with their definitions, forward and backward."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnparts import functional, kernels

SHAPES = st.lists(st.integers(0, 4), max_size=2).map(tuple)
# What a few operations on numbers of size 1 round to, in units of the last place.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}
DTYPES = st.sampled_from(list(TOLERANCE))
SCALES = st.sampled_from([0.0, 1e-3, 1.0, 1e4])


def product_scale(scale, dtype):
    """A scale whose square the dtype holds: fp16 ends at 65,504."""
    return min(scale, 30.0) if dtype == torch.float16 else scale


def draw(shape, dtype, seed, scale=1.0):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (x * scale).to(dtype).requires_grad_()


def assert_alike(ours, theirs, inputs):
    """Values and gradients, each compared on the scale of its greatest."""
    assert ours.dtype == theirs.dtype
    tolerance = TOLERANCE[ours.dtype]
    grads = [torch.autograd.grad(y.sum(), inputs, allow_unused=True) for y in (ours, theirs)]
    for our, their in [(ours, theirs), *zip(*grads, strict=True)]:
        scale = 1.0 if their.numel() == 0 else max(1.0, their.abs().max().item())
        torch.testing.assert_close(our, their, rtol=tolerance, atol=tolerance * scale)


@settings(deadline=None)  # the first call loads libraries
@given(shape=SHAPES, dtype=DTYPES, scale=SCALES)
def test_rms_norm_is_the_definition(shape, dtype, scale):
    x, weight = draw((*shape, 8), dtype, 0, scale), draw((8,), dtype, 1)
    ours, theirs = (k.rms_norm(x, weight, 1e-5) for k in (kernels.FAST, kernels.REFERENCE))
    assert_alike(ours, theirs, (x, weight))


def test_rms_norm_of_narrow_numbers_with_wide_gains_keeps_their_dtype():
    x, weight = draw((3, 8), torch.bfloat16, 0), draw((8,), torch.float32, 1)
    ours, theirs = (k.rms_norm(x, weight, 1e-5) for k in (kernels.FAST, kernels.REFERENCE))
    assert_alike(ours, theirs, (x,))


@settings(deadline=None)  # the first call loads libraries
@given(shape=SHAPES, dtype=DTYPES, scale=SCALES)
def test_swiglu_is_the_definition(shape, dtype, scale):
    scale = product_scale(scale, dtype)
    gate, value = draw((*shape, 8), dtype, 0, scale), draw((*shape, 8), dtype, 1)
    ours, theirs = (k.swiglu(gate, value) for k in (kernels.FAST, kernels.REFERENCE))
    assert_alike(ours, theirs, (gate, value))


@pytest.mark.parametrize("name", ["silu", "gelu", "relu2"])
@settings(deadline=None)  # the first call loads libraries
@given(shape=SHAPES, dtype=DTYPES, scale=SCALES)
def test_an_activation_is_the_definition(name, shape, dtype, scale):
    x = draw((*shape, 8), dtype, 0, product_scale(scale, dtype))
    ours, theirs = (getattr(k, name)(x) for k in (kernels.FAST, kernels.REFERENCE))
    assert_alike(ours, theirs, (x,))


def test_every_fast_kernel_has_a_definition_of_its_name():
    for name in kernels.FAST.__dataclass_fields__:
        assert getattr(kernels.REFERENCE, name) is getattr(functional, name)
