"""By definition: where heads look that were made before training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnparts import TransformerLM
from torch import Tensor
from trainkit import TokenDataset, start_from_bigrams

VOCAB_SIZE = 17


@pytest.fixture
def dataset(write_tokens: Callable[..., Path]) -> TokenDataset:
    ids = np.random.default_rng(0).integers(VOCAB_SIZE, size=2_000)
    return TokenDataset(write_tokens(ids.astype(np.uint16)))


def make_started(
    make_model: Callable[..., TransformerLM], dataset: TokenDataset, **shape: Any
) -> TransformerLM:
    model = make_model(d_model=128, num_heads=4, context_length=64, **shape)
    start_from_bigrams(model, dataset, updates=20, look_back_heads=3, copying_head=True)
    return model


def some_ids(dataset: TokenDataset) -> Tensor:
    return torch.from_numpy(dataset.windows(np.zeros(1, np.int64), 64)[0].astype(np.int64))


@torch.no_grad()
def attention_weights(model: TransformerLM, token_ids: Tensor, layer: int) -> Tensor:
    """`(heads, seq, seq)` of a layer, from the formula."""
    blocks: Any = model.layers
    x = model.token_embeddings(token_ids)
    for block in blocks[:layer]:
        x = block(x)
    attention = blocks[layer].attn
    x = blocks[layer].ln1(x)

    def heads(product: Tensor) -> Tensor:
        return attention.rope(product.unflatten(-1, (-1, attention.head_dim)).transpose(0, 1))

    query, key = heads(attention.q_proj(x)), heads(attention.k_proj(x))
    key = key.repeat_interleave(attention.num_heads // attention.num_kv_heads, 0)
    scores = query @ key.mT / attention.head_dim**0.5
    hidden = ~torch.ones(len(token_ids), len(token_ids), dtype=torch.bool).tril()
    return scores.masked_fill(hidden, -torch.inf).softmax(-1)


SHAPES = [{}, {"norm": "none"}, {"tied_embeddings": True}, {"num_kv_heads": 2}]


@pytest.mark.parametrize("shape", [*SHAPES, {"rope_theta": 30_000.0}])
def test_heads_look_back_as_far_as_they_were_told_to(
    dataset: TokenDataset, make_model: Callable[..., TransformerLM], shape: dict[str, Any]
) -> None:
    model = make_started(make_model, dataset, **shape)
    weights = attention_weights(model, some_ids(dataset), layer=0)
    for head, distance in enumerate((1, 2, 3)):
        looked_at = weights[head].diagonal(-distance)
        assert looked_at.mean() > 0.9
        assert looked_at.min() > 0.5  # by every token: no other is looked at more
    above = attention_weights(model, some_ids(dataset), layer=1)
    sharing = 4 // shape.get("num_kv_heads", 4)  # the copying head's keys
    for head, distance in zip(range(sharing, 3), (1, 2), strict=False):
        assert (
            above[head].diagonal(-distance).mean() > 0.8
        )  # what is written down disturbs a little
    assert weights[3].diagonal(-1).mean() < 0.3  # a head that nobody made


@pytest.mark.parametrize("shape", SHAPES)
def test_the_copying_head_looks_at_what_followed_the_same_token(
    dataset: TokenDataset, make_model: Callable[..., TransformerLM], shape: dict[str, Any]
) -> None:
    model = make_started(make_model, dataset, **shape)
    ids = some_ids(dataset)
    weights = attention_weights(model, ids, layer=1)
    before = torch.cat((torch.tensor([-1]), ids[:-1]))
    followed = (ids[:, None] == before) & torch.ones(64, 64, dtype=torch.bool).tril()
    can_copy = followed.any(1)
    assert can_copy.sum() > 30
    looked_at = (weights * followed).sum(-1)[:, can_copy].mean(-1)
    assert looked_at[0] > 0.7
    assert looked_at[3] < 0.3  # a head that nobody made; there are some 3 such places of 64


@pytest.mark.parametrize("shape", SHAPES)
def test_what_the_model_says_hardly_changes_by_it(
    dataset: TokenDataset, make_model: Callable[..., TransformerLM], shape: dict[str, Any]
) -> None:
    model, ids = make_started(make_model, dataset, **shape), some_ids(dataset)[None]
    alone = model.bigram_logits(ids)
    if model.config.norm == "none":
        torch.testing.assert_close(model(ids), alone)
    else:  # the last norm sees what the first layer wrote down
        agree = (model(ids).log_softmax(-1) - alone.log_softmax(-1)).abs().mean()
        assert agree < 0.1


@pytest.mark.parametrize(
    "shape", [{"positions": "none"}, {"positions": "learned"}, {"qk_norm": True}, {"num_heads": 2}]
)
def test_heads_that_cannot_look_back_are_refused(
    dataset: TokenDataset, make_model: Callable[..., TransformerLM], shape: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="heads that look back need"):
        start_from_bigrams(make_model(**shape), dataset, look_back_heads=3)


@pytest.mark.parametrize("shape", [{"num_layers": 1}, {"rope_theta": 2.0}])
def test_a_head_that_cannot_copy_is_refused(
    dataset: TokenDataset, make_model: Callable[..., TransformerLM], shape: dict[str, Any]
) -> None:
    model = make_model(d_model=128, num_heads=4, context_length=64, **shape)
    with pytest.raises(ValueError, match="a head that copies needs"):
        start_from_bigrams(model, dataset, look_back_heads=1, copying_head=True)


def test_a_head_that_copies_needs_one_that_looks_back(
    dataset: TokenDataset, make_model: Callable[..., TransformerLM]
) -> None:
    model = make_model(d_model=128, num_heads=4, context_length=64)
    with pytest.raises(ValueError, match="got look_back_heads=0"):
        start_from_bigrams(model, dataset, copying_head=True)
