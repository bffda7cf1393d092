"""What each choice of TransformerConfig promises of the model (property)."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnparts import TransformerConfig, TransformerLM, functional


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def make(seed=0, dtype=torch.float64, **choices):
    config = TransformerConfig(50, 12, 16, 2, 4, 32, **choices)
    model = TransformerLM(config, dtype=dtype, generator=seeded(seed))
    for name, gain in model.named_parameters():
        if gain.ndim == 1:  # gains of 1 would hide a norm that isn't there
            torch.nn.init.uniform_(gain, 0.5, 2.0, seeded(len(name)))
    return model


def some_ids(*shape, seed=1):
    return torch.randint(50, shape, generator=seeded(seed))


CHOICES = {
    "post-norm": {"norm": "post"},
    "no norm": {"norm": "none"},
    "qk_norm": {"qk_norm": True},
    "learned positions": {"positions": "learned"},
    "no positions": {"positions": "none"},
    "gelu": {"feed_forward": "gelu"},
    "tied": {"tied_embeddings": True},
    "grouped": {"num_kv_heads": 2},
    "one head of keys": {"num_kv_heads": 1},
    "wide heads": {"head_dim": 10},
    "windowed": {"sliding_window": 4},
    "soft cap": {"logit_soft_cap": 5.0},
}
every_choice = pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)


@every_choice
def test_future_tokens_do_not_change_past_logits(choices):
    model, token_ids = make(**choices), some_ids(2, 12)
    changed = token_ids.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % 50
    before, after = model(token_ids), model(changed)
    torch.testing.assert_close(after[:, :7], before[:, :7], atol=1e-12, rtol=1e-12)
    assert (after[:, 7] - before[:, 7]).abs().max() > 1e-3


@every_choice
def test_every_weight_gets_a_gradient(choices):
    model = make(**choices)
    functional.cross_entropy(model(some_ids(2, 12)), some_ids(2, 12, seed=2)).backward()
    for name, weight in model.named_parameters():
        assert weight.grad.abs().max() > 0, name


@every_choice
def test_a_batch_of_none_and_a_sequence_of_none_have_logits(choices):
    assert make(**choices)(some_ids(0, 12)).shape == (0, 12, 50)
    assert make(**choices)(some_ids(2, 0)).shape == (2, 0, 50)


@every_choice
def test_a_model_from_meta_is_drawn_as_if_made_with_the_generator(choices):
    config = TransformerConfig(50, 12, 16, 2, 4, 32, residual_init_scaling=True, **choices)
    late = TransformerLM(config, device="meta").to_empty(device="cpu")
    late.reset_parameters(seeded(3))
    expected = TransformerLM(config, generator=seeded(3))
    assert torch.equal(late(some_ids(2, 12)), expected(some_ids(2, 12)))


@every_choice
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4).filter(lambda n: sum(n) <= 12))
@settings(max_examples=5, deadline=None)
def test_packed_documents_are_as_if_alone(choices, lengths):
    model, token_ids = make(**choices), some_ids(1, sum(lengths))
    document_ids = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))[None]
    packed = model(token_ids, document_ids=document_ids)
    alone = torch.cat([model(document) for document in token_ids.split(lengths, dim=1)], dim=1)
    torch.testing.assert_close(packed, alone, atol=1e-10, rtol=1e-10)


@every_choice
@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_rows_are_as_if_alone(choices, side):
    model, lengths = make(**choices), [12, 7, 1, 0]
    token_ids, is_token = some_ids(4, 12), torch.zeros(4, 12, dtype=torch.bool)
    for row, length in enumerate(lengths):
        is_token[row, 12 - length :] = True
    if side == "right":
        is_token = is_token.flip(-1)
    logits = model(token_ids, attention_mask=is_token)
    assert logits.isfinite().all()
    for row in range(4):
        alone = model(token_ids[row][is_token[row]])
        torch.testing.assert_close(logits[row][is_token[row]], alone, atol=1e-10, rtol=1e-10)
    logits[is_token].sum().backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


@every_choice
def test_checkpointed_blocks_have_the_same_gradients(choices):
    model = make(**choices, dropout=0.3)
    other = copy.deepcopy(model)
    other.checkpoint_blocks()
    for each in (model, other):
        torch.manual_seed(0)  # the same numbers are dropped, and dropped again in backward
        functional.cross_entropy(each(some_ids(2, 12)), some_ids(2, 12, seed=2)).backward()
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def numbers_kept_for_backward(model):
    weights = {weight.data_ptr() for weight in model.parameters()}
    sizes = {}

    def keep(x):
        sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes() // x.itemsize
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        logits = model(some_ids(2, 12))
    assert logits.requires_grad  # the graph lives until here, so that no address comes twice
    return sum(size for address, size in sizes.items() if address not in weights)


def test_checkpointed_blocks_keep_only_their_inputs():
    model = make()
    without = numbers_kept_for_backward(model)
    model.checkpoint_blocks()
    kept = numbers_kept_for_backward(model)
    stream = 2 * 12 * 16  # batch, seq, d_model
    # Two blocks' inputs; the ids; three more as large, and a number a token, in the last norm.
    assert 2 * stream < kept <= (2 + 3) * stream + 3 * 2 * 12
    assert without > 5 * kept
    model.checkpoint_blocks(False)
    assert numbers_kept_for_backward(model) == without


def test_post_norm_normalizes_each_sum():
    block = make(norm="post").layers[0]
    x = torch.randn(2, 5, 16, dtype=torch.float64)
    y = block.ln1(x + block.attn(x))
    torch.testing.assert_close(block(x), block.ln2(y + block.ffn(y)))


def test_no_norm_leaves_two_sums():
    model = make(norm="none")
    block, x = model.layers[0], torch.randn(2, 5, 16, dtype=torch.float64)
    y = x + block.attn(x)
    torch.testing.assert_close(block(x), y + block.ffn(y))
    assert not any("ln" in name for name in model.state_dict())


def test_only_pre_norm_has_a_norm_before_the_head():
    assert "ln_final.weight" in make().state_dict()
    assert "ln_final.weight" not in make(norm="post").state_dict()


def test_without_positions_past_tokens_are_a_set():
    model, token_ids = make(positions="none"), some_ids(1, 12)
    shuffled = torch.cat([token_ids[:, torch.tensor([4, 2, 0, 3, 1])], token_ids[:, 5:]], dim=1)
    # One layer deep: a second one sees what each of the shuffled had before it.
    one = TransformerLM(
        TransformerConfig(50, 12, 16, 1, 4, 32, positions="none"), dtype=torch.float64
    )
    torch.testing.assert_close(one(shuffled)[:, 5:], one(token_ids)[:, 5:])
    assert not torch.allclose(make()(shuffled)[:, 5:], make()(token_ids)[:, 5:])
    with pytest.raises(ValueError, match="positions='none'"):
        model(token_ids, token_positions=torch.arange(12)[None])


@pytest.mark.parametrize("positions", ["rope", "learned"])
def test_positions_may_be_given(positions):
    model, token_ids = make(positions=positions), some_ids(2, 5)
    counted = model(token_ids, token_positions=torch.arange(5).expand(2, 5))
    torch.testing.assert_close(counted, model(token_ids))
    spread = model(token_ids, token_positions=torch.arange(0, 10, 2).expand(2, 5))
    assert not torch.allclose(spread, counted)
    with pytest.raises(IndexError, match=r"in \[0, 12\), got 12"):
        model(token_ids, token_positions=torch.arange(8, 13).expand(2, 5))


def test_a_window_as_long_as_the_sequence_hides_nothing():
    token_ids = some_ids(2, 12)
    assert torch.equal(make(sliding_window=12)(token_ids), make()(token_ids))
    assert not torch.allclose(make(sliding_window=11)(token_ids), make()(token_ids))


def test_logits_stay_below_the_soft_cap():
    free, capped = make()(some_ids(2, 12)), make(logit_soft_cap=0.5)(some_ids(2, 12))
    assert free.abs().max() > 0.5
    torch.testing.assert_close(capped, 0.5 * torch.tanh(free / 0.5))


def test_writers_into_the_stream_begin_smaller():
    plain = TransformerLM(TransformerConfig(50, 12, 16, 2, 4), generator=seeded())
    scaled = TransformerLM(
        TransformerConfig(50, 12, 16, 2, 4, residual_init_scaling=True), generator=seeded()
    )
    for name, weight in scaled.state_dict().items():
        factor = 1 / math.sqrt(2 * 2) if "output_proj" in name or "w2" in name else 1.0
        torch.testing.assert_close(weight, factor * plain.state_dict()[name])


def test_dropout_is_for_training_alone():
    model, token_ids = make(dropout=0.5), some_ids(2, 12)
    assert not torch.equal(model(token_ids), model(token_ids))
    assert torch.equal(model.eval()(token_ids), make().eval()(token_ids))


def test_what_does_not_go_together_is_refused():
    from nnparts import KVCache

    model, token_ids = make(), some_ids(1, 4)
    with (
        torch.no_grad(),
        pytest.raises(ValueError, match="document_ids are given with a cache"),
    ):
        model(token_ids, document_ids=token_ids, cache=KVCache.for_model(model))
