"""The KV cache: however the tokens arrive, the logits are those of one pass (property)."""

import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnparts import KVCache, TransformerConfig, TransformerLM

CONFIG = TransformerConfig(
    vocab_size=50, context_length=12, d_model=16, num_layers=2, num_heads=2, d_ff=32
)
MODEL = TransformerLM(CONFIG, generator=torch.Generator().manual_seed(0))


def some_ids(batch, seq, seed=1):
    return torch.randint(50, (batch, seq), generator=torch.Generator().manual_seed(seed))


def in_chunks(token_ids, sizes, cache):
    chunks = token_ids.split(sizes, dim=-1)
    return torch.cat([MODEL(chunk, cache=cache) for chunk in chunks], dim=-2)


@given(
    st.integers(1, 3),
    st.lists(st.integers(0, 5), min_size=1, max_size=4).filter(lambda s: sum(s) <= 12),
)
@settings(max_examples=15, deadline=None)
@torch.no_grad()
def test_any_chunks_give_the_logits_of_one_pass(batch, sizes):
    token_ids = some_ids(batch, sum(sizes))
    cache = KVCache.for_model(MODEL, batch)
    logits = in_chunks(token_ids, sizes, cache)
    torch.testing.assert_close(logits, MODEL(token_ids), atol=1e-5, rtol=1e-5)
    assert cache.length == sum(sizes)


@torch.no_grad()
def test_a_prompt_and_then_one_token_at_a_time_fill_the_context():
    token_ids, cache = some_ids(2, 12), KVCache.for_model(MODEL, 2)
    logits = in_chunks(token_ids, [5] + [1] * 7, cache)
    torch.testing.assert_close(logits, MODEL(token_ids), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_reset_cache_remembers_nothing():
    cache = KVCache.for_model(MODEL, 2)
    MODEL(some_ids(2, 12, seed=2), cache=cache)
    cache.reset()
    token_ids = some_ids(2, 6)
    logits = in_chunks(token_ids, [2, 4], cache)
    torch.testing.assert_close(logits, MODEL(token_ids), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_cache_follows_the_model_unless_told_otherwise():
    narrow = TransformerLM(CONFIG, dtype=torch.bfloat16)
    cache = KVCache.for_model(narrow, 3)
    assert cache.keys.shape == cache.values.shape == (2, 3, 2, 12, 8)
    assert cache.keys.dtype == torch.bfloat16
    assert KVCache.for_model(narrow, 1, device="meta").values.is_meta
    assert KVCache(CONFIG, 3).keys.dtype == torch.float32


@torch.no_grad()
def test_a_narrow_cache_costs_only_rounding():
    token_ids = some_ids(1, 8)
    cache = KVCache.for_model(MODEL, 1, dtype=torch.bfloat16)
    logits = in_chunks(token_ids, [4, 4], cache)
    assert logits.dtype == torch.float32
    # bf16 has 8 significant bits; the logits are of size 1.
    torch.testing.assert_close(logits, MODEL(token_ids), atol=3e-2, rtol=0)


@torch.no_grad()
def test_autocast_and_a_cache_go_together():
    token_ids, cache = some_ids(1, 8), KVCache.for_model(MODEL, 1)
    with torch.autocast("cpu", torch.bfloat16):
        logits = in_chunks(token_ids, [4, 4], cache)
    torch.testing.assert_close(logits.float(), MODEL(token_ids), atol=6e-2, rtol=0)


@torch.no_grad()
def test_a_full_cache_refuses_more_and_stays_as_it_was():
    cache = KVCache.for_model(MODEL, 1)
    MODEL(some_ids(1, 10), cache=cache)
    with pytest.raises(ValueError, match="10 cached and 3 new tokens, but context_length is 12"):
        MODEL(some_ids(1, 3), cache=cache)
    assert cache.length == 10


@torch.no_grad()
@pytest.mark.parametrize("shape", [(1, 3), (3, 3), (3,)])
def test_another_batch_size_is_refused(shape):
    cache = KVCache.for_model(MODEL, 2)
    with pytest.raises(ValueError, match=r"room for .* = \(2, 2, 3, 8\), got"):
        MODEL(torch.zeros(shape, dtype=torch.long), cache=cache)
    assert cache.length == 0


def test_a_cache_of_no_rows_is_refused():
    with pytest.raises(ValueError, match="batch_size must be positive, got 0"):
        KVCache(CONFIG, 0)


def test_a_pass_that_would_need_gradients_is_refused():
    with pytest.raises(ValueError, match=r"under torch\.no_grad"):
        MODEL(some_ids(1, 3), cache=KVCache.for_model(MODEL, 1))


def test_checkpointed_blocks_fill_a_cache_or_refuse_it_like_others():
    model = TransformerLM(CONFIG, generator=torch.Generator().manual_seed(0))
    model.checkpoint_blocks()
    token_ids, cache = some_ids(2, 6), KVCache.for_model(model, 2)
    with pytest.raises(ValueError, match=r"under torch\.no_grad"):
        model(token_ids, cache=cache)
    assert cache.length == 0
    with torch.no_grad():
        logits = torch.cat([model(chunk, cache=cache) for chunk in token_ids.split(3, dim=1)], 1)
    torch.testing.assert_close(logits, MODEL(token_ids), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32])
@pytest.mark.parametrize("is_cached", [False, True])
@torch.no_grad()
def test_a_mask_of_ones_and_zeros_is_refused_with_the_way_out(dtype, is_cached):
    cache = KVCache.for_model(MODEL, 2) if is_cached else None
    # Unwrapped: the tests' own type checks would be first to complain.
    hidden_states = inspect.unwrap(TransformerLM.hidden_states)
    with pytest.raises(ValueError, match=rf"got {dtype}: convert .* with attention_mask\.bool\(\)"):
        hidden_states(
            MODEL, some_ids(2, 3), attention_mask=torch.ones(2, 3, dtype=dtype), cache=cache
        )
    assert cache is None or not (cache.length or cache.has_padding)


CHOICES = {
    "grouped": {"num_kv_heads": 2},
    "windowed": {"sliding_window": 3},
    "learned positions": {"positions": "learned"},
    "no positions": {"positions": "none"},
    "qk_norm": {"qk_norm": True},
}


@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("impl", ["fast", "reference"])
@torch.no_grad()
def test_every_row_of_ragged_prompts_goes_on_as_if_alone(choices, impl):
    config = TransformerConfig(50, 12, 16, 2, 4, 32, **choices)
    model = TransformerLM(config, generator=torch.Generator().manual_seed(0), impl=impl)
    lengths, token_ids = [5, 2, 1], some_ids(3, 12)
    is_token = torch.arange(5) >= 5 - torch.tensor(lengths)[:, None]
    cache = KVCache.for_model(model, 3)
    chunks = [model(token_ids[:, :5], attention_mask=is_token, cache=cache)]
    chunks += [model(token_ids[:, at : at + 2], cache=cache) for at in range(5, 11, 2)]
    logits = torch.cat(chunks, dim=1)
    for row, length in enumerate(lengths):
        alone = model(token_ids[row : row + 1, 5 - length : 11])
        torch.testing.assert_close(logits[row, 5 - length :], alone[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_reset_cache_forgets_its_padding():
    cache = KVCache.for_model(MODEL, 2)
    MODEL(some_ids(2, 4), attention_mask=torch.zeros(2, 4, dtype=torch.bool), cache=cache)
    cache.reset()
    logits = in_chunks(some_ids(2, 6), [3, 3], cache)
    torch.testing.assert_close(logits, MODEL(some_ids(2, 6)), atol=1e-5, rtol=1e-5)


def test_a_cache_holds_the_heads_of_keys_alone():
    config = TransformerConfig(50, 12, 16, 2, 4, num_kv_heads=2, head_dim=6)
    assert KVCache(config, 3).keys.shape == (2, 3, 2, 12, 6)


@pytest.mark.parametrize("is_padded", [False, True])
@torch.no_grad()
def test_the_last_logits_alone_are_the_last_of_all(is_padded):
    token_ids = some_ids(2, 5)
    mask = torch.tensor([[False, False, True, True, True], [True] * 5]) if is_padded else None
    caches = [KVCache.for_model(MODEL, 2) for _ in range(2)]
    ours = MODEL(token_ids, attention_mask=mask, cache=caches[0], last_only=True)
    theirs = MODEL(token_ids, attention_mask=mask, cache=caches[1])[:, -1:]
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
    assert caches[0].length == 5
