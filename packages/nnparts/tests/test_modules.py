"""Every module against torch's formulas (parity), how the weights begin (property)."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnparts import (
    Embedding,
    FeedForward,
    Linear,
    MultiheadSelfAttention,
    RMSNorm,
    RotaryPositionalEmbedding,
    SwiGLU,
    TransformerBlock,
    default_d_ff,
)
from torch.nn import functional as torch_functional

# The standard deviation of N(0, 1) truncated at +-3: sqrt(1 - 2 * 3 * pdf(3) / (2 * cdf(3) - 1)).
TRUNCATED_STD = 0.986578


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


D_MODEL, HEAD_DIM, CONTEXT_LENGTH, THETA = 8, 6, 6, 100.0


def linear(weights, x, name):
    return torch_functional.linear(x, weights[f"{name}weight"])


def rms_norm(weights, x, name=""):
    weight = weights[f"{name}weight"]
    return torch_functional.rms_norm(x, weight.shape, weight, 1e-5)


def swiglu(weights, x, name=""):
    gate, value = linear(weights, x, f"{name}w1."), linear(weights, x, f"{name}w3.")
    return linear(weights, torch_functional.silu(gate) * value, f"{name}w2.")


def plain_network(activation):
    return lambda weights, x: linear(weights, activation(linear(weights, x, "w1.")), "w2.")


def turned(x):
    """RoPE, as the complex numbers that it is."""
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    exponents = torch.arange(0, HEAD_DIM, 2, dtype=torch.float64) / HEAD_DIM
    angles = torch.outer(torch.arange(x.shape[-2], dtype=torch.float64), THETA**-exponents)
    rotations = torch.polar(torch.ones_like(angles), angles)
    return torch.view_as_real(pairs * rotations).flatten(-2)


def attention(weights, x, name=""):
    """Causal, with two heads of queries to each of keys, and norms and RoPE on both."""

    def heads(of):
        projected = linear(weights, x, f"{name}{of}_proj.").unflatten(-1, (-1, HEAD_DIM))
        return projected.transpose(-3, -2)

    query = turned(rms_norm(weights, heads("q"), f"{name}q_norm."))
    key = turned(rms_norm(weights, heads("k"), f"{name}k_norm.")).repeat_interleave(2, dim=-3)
    value = heads("v").repeat_interleave(2, dim=-3)
    scores = query @ key.transpose(-2, -1) / math.sqrt(HEAD_DIM)
    hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    mixed = torch.softmax(scores.masked_fill(hidden, -math.inf), dim=-1) @ value
    return linear(weights, mixed.transpose(-3, -2).flatten(-2), f"{name}output_proj.")


def block(weights, x):
    x = x + attention(weights, rms_norm(weights, x, "ln1."), "attn.")
    return x + swiglu(weights, rms_norm(weights, x, "ln2."), "ffn.")


def make_rope(dtype):
    return RotaryPositionalEmbedding(THETA, HEAD_DIM, CONTEXT_LENGTH, dtype=dtype)


# With norms: where scores are of 1e8, their rounding decides which key is chosen.
HEADS = {"num_kv_heads": 2, "head_dim": HEAD_DIM, "qk_norm": True}


def make_attention(**options):
    return MultiheadSelfAttention(D_MODEL, 4, make_rope(options["dtype"]), **HEADS, **options)


def make_block(**options):
    return TransformerBlock(D_MODEL, 4, 12, make_rope(options["dtype"]), **HEADS, **options)


def relu2(x):
    return torch_functional.relu(x) ** 2


# Of each module: how it is made, its formula, and how often bf16 rounds on the way, or back.
MODULES = {
    "linear": (
        lambda *, impl, **options: Linear(D_MODEL, 5, **options),
        lambda weights, x: linear(weights, x, ""),
        1,
    ),
    "rms_norm": (
        lambda *, generator, **options: RMSNorm(D_MODEL, **options),
        rms_norm,
        1,
    ),
    "swiglu": (lambda **options: SwiGLU(D_MODEL, 12, **options), swiglu, 3),
    "silu": (
        lambda **options: FeedForward(D_MODEL, 12, "silu", **options),
        plain_network(torch_functional.silu),
        3,
    ),
    "gelu": (
        lambda **options: FeedForward(D_MODEL, 12, "gelu", **options),
        plain_network(torch_functional.gelu),
        3,
    ),
    "relu2": (
        lambda **options: FeedForward(D_MODEL, 12, "relu2", **options),
        plain_network(relu2),
        3,
    ),
    "attention": (make_attention, attention, 8),
    "block": (make_block, block, 16),
}
# Whose activation bends within some 1 of zero, and sums of numbers of 1e4 are off by 1e-3 in fp32.
BENT = {"swiglu", "silu", "gelu"}
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2**-7}
IMPLS = ["fast", "reference"]


def greatest(*tensors):
    return max((x.abs().max().item() for x in tensors if x.numel()), default=0.0)


@pytest.mark.parametrize("name", MODULES)
@given(
    leading=st.lists(st.integers(0, 3), max_size=2),
    seq=st.integers(0, CONTEXT_LENGTH),
    dtype=st.sampled_from(list(TOLERANCE)),
    scale=st.sampled_from([1.0, 1e4]),
    impl=st.sampled_from(IMPLS),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None)
def test_a_module_is_its_formula_forward_and_backward(name, leading, seq, dtype, scale, impl, seed):
    make, formula, roundings = MODULES[name]
    module = make(dtype=dtype, impl=impl, generator=seeded(seed))
    weights = dict(module.named_parameters())
    for weight in weights.values():
        if weight.ndim == 1:  # gains of 1 would hide themselves
            torch.nn.init.uniform_(weight, 0.5, 2.0, seeded(seed))
    x = scale * torch.randn(*leading, seq, D_MODEL, generator=seeded(seed), dtype=torch.float64)
    inputs = [x.to(dtype).requires_grad_(), *weights.values()]
    # Theirs in fp64, from the same numbers: what differs is what ours round.
    exact = [each.detach().double().requires_grad_() for each in inputs]

    ours, theirs = module(inputs[0]), formula(dict(zip(weights, exact[1:], strict=True)), exact[0])
    assert ours.dtype == dtype
    direction = torch.randn(ours.shape, generator=seeded(seed)).to(dtype)
    our_x, *our_grads = torch.autograd.grad(ours, inputs, direction)
    their_x, *their_grads = torch.autograd.grad(theirs, exact, direction.double())

    tolerance = TOLERANCE[dtype] * (roundings if dtype == torch.bfloat16 else 1)
    if name in BENT:
        tolerance += 8 * scale * torch.finfo(torch.promote_types(dtype, torch.float32)).eps

    def assert_close(our, their, size):
        torch.testing.assert_close(our.double(), their, rtol=tolerance, atol=tolerance * size)

    assert_close(ours, theirs, greatest(theirs))
    assert_close(our_x, their_x, greatest(their_x))
    for our, their in zip(our_grads, their_grads, strict=True):
        # That of queries is what is left of terms as large as the others': none, for one key.
        assert_close(our, their, greatest(*their_grads))


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("name", MODULES)
def test_the_gradients_of_a_module_are_its_slopes(name, impl):
    module = MODULES[name][0](dtype=torch.float64, impl=impl, generator=seeded())
    x = torch.randn(2, 3, D_MODEL, generator=seeded(), dtype=torch.float64, requires_grad=True)
    names, weights = zip(*module.named_parameters(), strict=True)

    def call(x, *weights):
        return torch.func.functional_call(module, dict(zip(names, weights, strict=True)), (x,))

    # Fast: along random directions. Weight by weight a block takes 14 s.
    assert torch.autograd.gradcheck(call, (x, *weights), fast_mode=True)


@given(
    leading=st.lists(st.integers(0, 3), max_size=3),
    dtype=st.sampled_from(list(TOLERANCE)),
    scale=st.sampled_from([1.0, 1e4]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None)
def test_embedding_is_torchs_forward_and_backward(leading, dtype, scale, seed):
    module = Embedding(11, 4, dtype=dtype, std=scale, generator=seeded(seed))
    token_ids = torch.randint(11, leading, generator=seeded(seed))
    exact = module.weight.detach().double().requires_grad_()
    ours, theirs = module(token_ids), torch_functional.embedding(token_ids, exact)
    assert torch.equal(ours.double(), theirs)
    # Of whole numbers, which bf16 adds without rounding, up to 256.
    direction = torch.randint(-4, 5, ours.shape, generator=seeded(seed)).to(dtype)
    (our_grad,) = torch.autograd.grad(ours, module.weight, direction)
    (their_grad,) = torch.autograd.grad(theirs, exact, direction.double())
    assert torch.equal(our_grad.double(), their_grad)


def test_weights_are_laid_out_as_torchs():
    torch.nn.Linear(7, 3, bias=False).load_state_dict(Linear(7, 3).state_dict())
    torch.nn.Embedding(7, 3).load_state_dict(Embedding(7, 3).state_dict())
    torch.nn.RMSNorm(7).load_state_dict(RMSNorm(7).state_dict())


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


def test_the_eps_of_a_norm_is_its_own():
    x = torch.randn(2, 3, 6)
    theirs = torch_functional.rms_norm(x, (6,), eps=0.5)
    torch.testing.assert_close(RMSNorm(6, eps=0.5)(x), theirs)


def test_the_plain_network_is_four_times_as_wide_inside_and_refuses_another_function():
    assert FeedForward(6, device="meta").w1.weight.shape == (24, 6)
    # Unwrapped: the tests' own type checks would be first to complain.
    make = inspect.unwrap(FeedForward.__init__)
    with pytest.raises(ValueError, match=r"one of \('silu', 'gelu', 'relu2'\), got 'relu'"):
        make(FeedForward.__new__(FeedForward), 6, activation="relu")


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
