"""Multi-head self-attention: against torch's (parity), and what causal means (property)."""

import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnparts import MultiheadSelfAttention, RotaryPositionalEmbedding, TransformerBlock
from nnparts.masks import causal_mask


def torchs_twin(ours):
    d_model = ours.q_proj.in_features
    theirs = torch.nn.MultiheadAttention(
        d_model, ours.num_heads, bias=False, batch_first=True, dtype=ours.q_proj.weight.dtype
    )
    stacked = torch.cat([ours.q_proj.weight, ours.k_proj.weight, ours.v_proj.weight])
    theirs.load_state_dict({"in_proj_weight": stacked, "out_proj.weight": ours.output_proj.weight})
    return theirs


@given(
    num_heads=st.integers(1, 4),
    head_dim=st.integers(1, 5),
    batch=st.integers(1, 3),
    seq=st.integers(1, 7),
)
@settings(max_examples=20, deadline=None)
def test_attention_without_positions_is_torchs(num_heads, head_dim, batch, seq):
    ours = MultiheadSelfAttention(num_heads * head_dim, num_heads, dtype=torch.float64)
    theirs = torchs_twin(ours)
    x = torch.randn(batch, seq, num_heads * head_dim, dtype=torch.float64, requires_grad=True)
    hidden = torch.ones(seq, seq, dtype=torch.bool).triu(1)
    our_value, (their_value, _) = ours(x), theirs(x, x, x, attn_mask=hidden, need_weights=False)
    torch.testing.assert_close(our_value, their_value)
    weights = torch.randn_like(x)
    our_grads = torch.autograd.grad(our_value, [x, ours.output_proj.weight], weights)
    their_grads = torch.autograd.grad(their_value, [x, theirs.out_proj.weight], weights)
    torch.testing.assert_close(our_grads, their_grads)


def with_rope(d_model=16, num_heads=2, max_seq_len=32):
    rope = RotaryPositionalEmbedding(10_000.0, d_model // num_heads, max_seq_len)
    return MultiheadSelfAttention(d_model, num_heads, rope, dtype=torch.float64)


def test_only_distances_between_positions_matter():
    attention, x = with_rope(), torch.randn(2, 5, 16, dtype=torch.float64)
    expected = attention(x)
    near, far = attention(x, torch.arange(5)), attention(x, torch.arange(20, 25))
    torch.testing.assert_close(near, expected)
    torch.testing.assert_close(far, expected, atol=1e-6, rtol=1e-6)  # the tables are fp32
    assert not torch.allclose(attention(x, torch.arange(0, 10, 2)), expected, atol=1e-3)


def test_every_row_of_a_batch_may_have_its_own_positions():
    attention, x = with_rope(), torch.randn(2, 5, 16, dtype=torch.float64)
    positions = torch.stack([torch.arange(5), torch.arange(0, 15, 3)])
    together = attention(x, positions)
    for row in range(2):
        torch.testing.assert_close(together[row], attention(x[row], positions[row]))


@pytest.mark.parametrize("leading", [(), (3,), (2, 3)])
def test_leading_dimensions_are_a_batch(leading):
    attention, x = with_rope(), torch.randn(*leading, 5, 16, dtype=torch.float64)
    expected = torch.stack([attention(row) for row in x.reshape(-1, 5, 16)]).view(x.shape)
    torch.testing.assert_close(attention(x), expected)


def test_without_rope_attention_sees_a_set():
    attention = MultiheadSelfAttention(8, 2, dtype=torch.float64)
    x = torch.randn(6, 8, dtype=torch.float64)
    shuffled = torch.cat([x[torch.tensor([3, 0, 4, 2, 1])], x[5:]])
    torch.testing.assert_close(attention(x)[-1], attention(shuffled)[-1])


def test_a_block_is_two_residual_steps():
    rope = RotaryPositionalEmbedding(10_000.0, 8, 32)
    block = TransformerBlock(16, 2, 24, rope)
    x, positions = torch.randn(2, 5, 16), torch.arange(3, 8)
    y = x + block.attn(block.ln1(x), positions)
    torch.testing.assert_close(block(x, positions), y + block.ffn(block.ln2(y)))


def test_grouped_heads_are_all_heads_with_keys_and_values_repeated():
    grouped = MultiheadSelfAttention(16, 4, num_kv_heads=2, dtype=torch.float64)
    full = MultiheadSelfAttention(16, 4, dtype=torch.float64)
    state = grouped.state_dict()
    for name in ("k_proj.weight", "v_proj.weight"):
        heads = state[name].unflatten(0, (2, 4))
        state[name] = heads.repeat_interleave(2, dim=0).flatten(0, 1)
    full.load_state_dict(state)
    x = torch.randn(2, 5, 16, dtype=torch.float64)
    torch.testing.assert_close(grouped(x), full(x))


def test_heads_may_be_wider_than_their_share():
    attention = MultiheadSelfAttention(16, 2, num_kv_heads=1, head_dim=6)
    assert attention.q_proj.weight.shape == (12, 16)
    assert attention.k_proj.weight.shape == attention.v_proj.weight.shape == (6, 16)
    assert attention.output_proj.weight.shape == (16, 12)
    assert attention(torch.randn(3, 16)).shape == (3, 16)


def test_normed_queries_and_keys_have_no_size():
    attention = MultiheadSelfAttention(16, 2, qk_norm=True, norm_eps=1e-12, dtype=torch.float64)
    x = torch.randn(2, 5, 16, dtype=torch.float64)
    before = attention(x)
    with torch.no_grad():
        attention.q_proj.weight.mul_(3)
        attention.k_proj.weight.mul_(5)
    torch.testing.assert_close(attention(x), before)
    attention.q_norm.weight.data.mul_(2)
    assert not torch.allclose(attention(x), before)


def test_a_mask_takes_the_place_of_the_causal_one():
    attention, x = with_rope(), torch.randn(2, 5, 16, dtype=torch.float64)
    torch.testing.assert_close(attention(x, mask=causal_mask(5, 5)), attention(x))
    everywhere = torch.ones(5, 5, dtype=torch.bool)
    # The last position sees all, either way; the first only now.
    torch.testing.assert_close(attention(x, mask=everywhere)[:, -1], attention(x)[:, -1])
    assert not torch.allclose(attention(x, mask=everywhere)[:, 0], attention(x)[:, 0])


def test_it_refuses_heads_that_do_not_divide_the_width():
    for num_heads in (3, 0):
        with pytest.raises(ValueError, match=f"d_model=16 and num_heads={num_heads}"):
            MultiheadSelfAttention(16, num_heads)
    with pytest.raises(ValueError, match="num_heads=4 and num_kv_heads=3"):
        MultiheadSelfAttention(16, 4, num_kv_heads=3)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"norm": "layer"}, r"norm must be one of \('pre', 'post', 'none'\), got 'layer'"),
        ({"feed_forward": "relu"}, r"feed_forward must be one of \('swiglu', .*\), got 'relu'"),
    ],
)
def test_a_block_refuses_a_choice_that_is_none(choice, message):
    # Unwrapped: the tests' own type checks would be first to complain.
    make = inspect.unwrap(TransformerBlock.__init__)
    with pytest.raises(ValueError, match=message):
        make(TransformerBlock.__new__(TransformerBlock), 16, 2, **choice)


def test_it_refuses_positions_that_it_could_not_use():
    with pytest.raises(ValueError, match="token_positions need a rope"):
        MultiheadSelfAttention(16, 2)(torch.zeros(3, 16), torch.arange(3))
