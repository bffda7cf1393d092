"""Linear, Embedding, RMSNorm, SwiGLU: against torch's (parity), how they begin (property)."""

import math

import pytest
import torch
from nnparts import Embedding, FeedForward, Linear, RMSNorm, SwiGLU, default_d_ff
from torch.nn import functional as torch_functional

# The standard deviation of N(0, 1) truncated at +-3: sqrt(1 - 2 * 3 * pdf(3) / (2 * cdf(3) - 1)).
TRUNCATED_STD = 0.986578


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("leading", [(), (5,), (2, 3, 4)])
def test_linear_is_torchs(leading):
    ours = Linear(7, 3, dtype=torch.float64)
    theirs = torch.nn.Linear(7, 3, bias=False, dtype=torch.float64)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(*leading, 7, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("leading", [(), (5,), (2, 3, 0)])
def test_embedding_is_torchs(leading, dtype):
    ours = Embedding(11, 4)
    theirs = torch.nn.Embedding(11, 4)
    theirs.load_state_dict(ours.state_dict())
    token_ids = torch.randint(11, leading).to(dtype)
    assert torch.equal(ours(token_ids), theirs(token_ids))


def test_embedding_adds_up_the_gradients_of_a_repeated_id():
    embedding = Embedding(3, 2)
    embedding(torch.tensor([1, 1, 2])).sum().backward()
    assert embedding.weight.grad.tolist() == [[0, 0], [2, 2], [1, 1]]


@pytest.mark.parametrize("token_id", [-1, 11])
def test_embedding_names_an_id_outside_its_table(token_id):
    with pytest.raises(IndexError, match=rf"token_ids must lie in \[0, 11\), got {token_id}"):
        Embedding(11, 4)(torch.tensor([3, token_id]))


def test_rms_norm_is_torchs():
    ours, theirs = RMSNorm(6, eps=1e-3), torch.nn.RMSNorm(6, eps=1e-3)
    torch.nn.init.normal_(ours.weight)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 6)
    torch.testing.assert_close(ours(x), theirs(x))


def test_swiglu_is_its_formula():
    swiglu = SwiGLU(6, 10)
    x = torch.randn(2, 3, 6)
    gate = torch_functional.silu(torch_functional.linear(x, swiglu.w1.weight))
    up = torch_functional.linear(x, swiglu.w3.weight)
    theirs = torch_functional.linear(gate * up, swiglu.w2.weight)
    torch.testing.assert_close(swiglu(x), theirs)


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("silu", torch_functional.silu),
        ("gelu", torch_functional.gelu),
        ("relu2", lambda x: torch_functional.relu(x) ** 2),
    ],
)
def test_the_plain_network_is_its_formula(activation, function):
    network = FeedForward(6, activation=activation)
    assert network.w1.weight.shape == (24, 6)
    x = torch.randn(2, 3, 6)
    hidden = function(torch_functional.linear(x, network.w1.weight))
    theirs = torch_functional.linear(hidden, network.w2.weight)
    torch.testing.assert_close(network(x), theirs)


@pytest.mark.parametrize(
    ("d_model", "d_ff"), [(1, 64), (36, 128), (35, 64), (64, 192), (512, 1344), (4096, 10944)]
)
def test_default_d_ff_is_eight_thirds_to_the_nearest_64(d_model, d_ff):
    assert default_d_ff(d_model) == d_ff
    assert SwiGLU(d_model, device="meta").w1.weight.shape == (d_ff, d_model)


def test_linear_begins_as_a_truncated_normal():
    weight = Linear(300, 700, generator=seeded()).weight
    std = math.sqrt(2 / (300 + 700))
    assert weight.abs().max() <= 3 * std
    assert weight.abs().max() > 2.99 * std  # the tail is there, not clamped at 2
    # 210,000 draws: five standard errors of a mean and of a standard deviation.
    assert abs(weight.mean()) < 5 * std / math.sqrt(weight.numel())
    assert weight.std().item() == pytest.approx(TRUNCATED_STD * std, rel=5 / math.sqrt(2 * 210_000))


def test_embedding_begins_as_a_truncated_normal():
    weight = Embedding(1000, 200, generator=seeded()).weight
    assert 2.99 < weight.abs().max() <= 3
    assert abs(weight.mean()) < 5 / math.sqrt(weight.numel())
    assert weight.std().item() == pytest.approx(TRUNCATED_STD, rel=5 / math.sqrt(2 * 200_000))


def test_rms_norm_begins_with_gains_of_one():
    assert torch.equal(RMSNorm(5).weight, torch.ones(5))


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: Linear(4, 6, **options),
        lambda **options: Embedding(4, 6, **options),
        lambda **options: SwiGLU(4, 6, **options),
    ],
)
def test_a_generator_decides_the_weights_in_every_dtype(make):
    wide = make(generator=seeded(1)).state_dict()
    narrow = make(generator=seeded(1), dtype=torch.bfloat16).state_dict()
    other = make(generator=seeded(2)).state_dict()
    for name, weight in wide.items():
        assert torch.equal(weight.bfloat16(), narrow[name])
        assert not torch.equal(weight, other[name])


def test_without_a_generator_torchs_global_seed_decides():
    torch.manual_seed(3)
    first = Linear(4, 6).weight
    torch.manual_seed(3)
    assert torch.equal(first, Linear(4, 6).weight)


@pytest.mark.parametrize("make", [lambda **o: Linear(4, 6, **o), lambda **o: Embedding(4, 6, **o)])
def test_weights_made_on_meta_can_be_drawn_later(make):
    late = make(device="meta")
    assert late.weight.is_meta
    late.to_empty(device="cpu").reset_parameters(seeded())
    assert torch.equal(late.weight, make(generator=seeded()).weight)
