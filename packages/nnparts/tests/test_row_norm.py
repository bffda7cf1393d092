"""RMSNorm of a few rows. Parity: with the module, whose own is with its definition."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nnparts import RMSNorm
from nnparts.row_norm import row_norm

TOLERANCES = {torch.float32: 1e-6, torch.float64: 1e-14}


def make_norm(width, dtype=torch.float32, eps=1e-5):
    norm = RMSNorm(width, eps, dtype=dtype)
    generator = torch.Generator().manual_seed(0)
    torch.nn.init.normal_(norm.weight, generator=generator)
    return norm


@given(
    width=st.integers(1, 70),
    leading=st.sampled_from([(), (1,), (8,), (2, 3, 1), (0,)]),
    scale=st.sampled_from([0.0, 1e-6, 1e-3, 1.0, 1e4]),  # below and above sqrt(eps)
    eps=st.sampled_from([1e-8, 1e-5, 0.1]),
    dtype=st.sampled_from(list(TOLERANCES)),
)
def test_it_is_the_norm_of_the_module(width, leading, scale, eps, dtype):
    norm, generator = make_norm(width, dtype, eps), torch.Generator().manual_seed(1)
    x = scale * torch.randn(*leading, width, generator=generator, dtype=dtype)
    before = x.clone()
    with torch.no_grad():
        ours, theirs = row_norm(norm)(x), norm(x)
    tolerance = TOLERANCES[dtype]
    torch.testing.assert_close(ours, theirs, rtol=10 * tolerance, atol=tolerance)
    assert torch.equal(x, before)


@pytest.mark.parametrize("norm", [make_norm(8, torch.bfloat16), torch.nn.Identity()], ids=str)
def test_another_module_computes_itself(norm):
    assert row_norm(norm) == norm.forward
