"""The step of decoding. Parity: with the model itself, whatever its config chooses."""

import copy

import pytest
import torch
from nnparts import DecodingStep, KVCache, RopeScaling, TransformerConfig, TransformerLM, can_step
from nnparts import packed_product as packing

CHOICES = {
    "as by default": {},
    "grouped": {"num_kv_heads": 2},
    "one head of keys": {"num_kv_heads": 1, "head_dim": 6},
    "windowed": {"sliding_window": 3},
    "learned positions": {"positions": "learned"},
    "no positions": {"positions": "none"},
    "scaled rope": {"rope_scaling": RopeScaling("linear", 2.0)},
    "qk_norm": {"qk_norm": True, "num_kv_heads": 2},
    "post-norm": {"norm": "post"},
    "no norm": {"norm": "none"},
    "gelu": {"feed_forward": "gelu"},
    "tied": {"tied_embeddings": True},
    "capped": {"logit_soft_cap": 0.5},
    "dropout": {"dropout": 0.5},
}


def make_model(**changes):
    dtype, impl = changes.pop("dtype", None), changes.pop("impl", "fast")
    fields = {"vocab_size": 50, "context_length": 12, "d_model": 16, "num_layers": 2}
    config = TransformerConfig(**(fields | {"num_heads": 4, "d_ff": 32} | changes))
    generator = torch.Generator().manual_seed(0)
    return TransformerLM(config, generator=generator, dtype=dtype, impl=impl).eval()


def some_ids(batch, seq):
    return torch.randint(50, (batch, seq), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def caches_after_prompts(model, lengths, token_ids):
    """Two caches that are filled alike, by prompts that end side by side."""
    seq = max(lengths)
    is_token = torch.arange(seq) >= seq - torch.tensor(lengths)[:, None]
    padding = {} if is_token.all() else {"attention_mask": is_token}
    caches = [KVCache.for_model(model, len(lengths)) for _ in range(2)]
    for cache in caches:
        model(token_ids[:, :seq], cache=cache, **padding)
    return caches


@pytest.mark.parametrize("lengths", [[3], [4, 4], [5, 2, 1]], ids=str)
@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
@torch.no_grad()
def test_each_step_gives_the_logits_of_the_model(choices, lengths):
    model, token_ids = make_model(**choices), some_ids(len(lengths), 12)
    ours_cache, theirs_cache = caches_after_prompts(model, lengths, token_ids)
    step = DecodingStep(model, len(lengths))
    for at in range(max(lengths), 12):
        ours = step(token_ids[:, at], ours_cache)
        theirs = model(token_ids[:, at : at + 1], cache=theirs_cache)[:, -1]
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)  # fp32, logits of size 1
    assert ours_cache.length == theirs_cache.length == 12
    torch.testing.assert_close(ours_cache.keys, theirs_cache.keys, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("is_packed", [True, False])
@torch.no_grad()
def test_packed_or_not_the_logits_are_the_same(monkeypatch, is_packed):
    if is_packed and not packing._is_right(2):
        pytest.skip("this torch has no packed products")
    monkeypatch.setattr(packing, "_pays", lambda *_: is_packed)
    model, token_ids = make_model(), some_ids(2, 3)
    ours_cache, theirs_cache = caches_after_prompts(model, [2, 2], token_ids)
    ours = DecodingStep(model, 2)(token_ids[:, 2], ours_cache)
    theirs = model(token_ids[:, 2:], cache=theirs_cache)[:, -1]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-7), (torch.bfloat16, 5e-2)])
@torch.no_grad()
def test_other_dtypes_stay_what_they_are(dtype, atol):
    # RoPE's tables are of fp32 in both computations, and bf16 rounds queries and keys once each.
    model, token_ids = make_model(dtype=dtype), some_ids(1, 3)
    ours_cache, theirs_cache = caches_after_prompts(model, [2], token_ids)
    ours = DecodingStep(model, 1)(token_ids[:, 2], ours_cache)
    theirs = model(token_ids[:, 2:], cache=theirs_cache)[:, -1]
    assert ours.dtype == dtype
    torch.testing.assert_close(ours, theirs, atol=atol, rtol=0)


def test_a_full_cache_refuses_a_step_and_stays_as_it_was():
    model, token_ids = make_model(), some_ids(1, 12)
    cache, _ = caches_after_prompts(model, [12], token_ids)
    with pytest.raises(ValueError, match=r"room for .* = \(1, 12\), got \(1, 13\)"):
        DecodingStep(model, 1)(token_ids[:, 0], cache)
    assert cache.length == 12


def test_another_batch_size_is_refused():
    model = make_model()
    with pytest.raises(ValueError, match=r"room for .* = \(2, 12\), got \(3, 1\)"):
        DecodingStep(model, 2)(torch.zeros(3, dtype=torch.long), KVCache.for_model(model, 2))


def test_an_id_outside_the_vocabulary_is_refused():
    model = make_model()
    with pytest.raises(IndexError):
        DecodingStep(model, 1)(torch.tensor([50]), KVCache.for_model(model))


def test_the_model_is_left_as_it_was():
    model = make_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step = DecodingStep(model, 1)
    step(torch.tensor([1]), KVCache.for_model(model))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert can_step(model)


class Adapted(torch.nn.Module):
    """A linear map with something beside it, as a low-rank adapter has."""


def test_a_model_that_is_more_than_its_weights_is_computed_by_its_modules():
    assert can_step(make_model())
    assert not can_step(make_model(impl="reference"))
    assert not can_step(torch.nn.Sequential(make_model()))
    hooked, adapted = make_model(), make_model()
    hooked.layers[1].ffn.w2.register_forward_hook(lambda *_: None)
    adapted.layers[0].attn.q_proj = Adapted()
    assert not can_step(hooked)
    assert not can_step(adapted)


def test_a_copied_model_steps_like_the_one_it_was_copied_from():
    assert can_step(copy.deepcopy(make_model()))
    assert not can_step(copy.deepcopy(make_model(impl="reference")))


def test_a_model_on_meta_steps_where_it_will_be():
    assert can_step(make_model().to("meta"))


def test_under_autocast_a_model_is_computed_by_its_modules():
    model = make_model()
    with torch.autocast("cpu", torch.bfloat16):
        assert not can_step(model)
        with torch.autocast("cpu", enabled=False):
            assert can_step(model)
    assert can_step(model)
