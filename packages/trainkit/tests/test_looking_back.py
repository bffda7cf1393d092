"""By definition: where heads look that were made to look back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnparts import TransformerLM
from torch import Tensor
from trainkit import TokenDataset, start_from_bigrams
from trainkit.looking_back import look_back

VOCAB_SIZE = 17


@pytest.fixture
def dataset(write_tokens: Callable[..., Path]) -> TokenDataset:
    ids = np.random.default_rng(0).integers(VOCAB_SIZE, size=2_000)
    return TokenDataset(write_tokens(ids.astype(np.uint16)))


def attention_weights(model: TransformerLM, token_ids: Tensor) -> Tensor:
    """`(heads, seq, seq)` of the first layer, from the formula."""
    block: Any = model.layers[0]
    attention = block.attn
    x = block.ln1(model.token_embeddings(token_ids))

    def heads(product: Tensor) -> Tensor:
        return attention.rope(product.unflatten(-1, (-1, attention.head_dim)).transpose(0, 1))

    query, key = heads(attention.q_proj(x)), heads(attention.k_proj(x))
    key = key.repeat_interleave(attention.num_heads // attention.num_kv_heads, 0)
    scores = query @ key.mT / attention.head_dim**0.5
    hidden = ~torch.ones(len(token_ids), len(token_ids), dtype=torch.bool).tril()
    return scores.masked_fill(hidden, -torch.inf).softmax(-1)


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"norm": "none"},
        {"tied_embeddings": True},
        {"num_kv_heads": 2},
        {"rope_theta": 500.0},
    ],
)
def test_heads_look_where_they_were_told_to(
    dataset: TokenDataset, make_model: Callable[..., TransformerLM], shape: dict[str, Any]
) -> None:
    model = make_model(d_model=128, num_heads=4, context_length=64, **shape)
    start_from_bigrams(model, dataset, updates=20, look_back_heads=3)
    ids = torch.from_numpy(dataset.windows(np.zeros(1, np.int64), 64)[0].astype(np.int64))
    with torch.no_grad():
        weights = attention_weights(model, ids)
    for head, distance in enumerate((1, 2, 3)):
        looked_at = weights[head].diagonal(-distance)
        assert looked_at.mean() > 0.9
        assert looked_at.min() > 0.5  # of every token: no other is looked at more
    assert weights[3].diagonal(-1).mean() < 0.3  # a head that nobody made to


def test_what_the_model_says_does_not_change_by_it(
    dataset: TokenDataset, make_model: Callable[..., TransformerLM]
) -> None:
    model = make_model(num_heads=2)
    start_from_bigrams(model, dataset, updates=5, look_back_heads=2)
    ids = torch.arange(8)[None]
    torch.testing.assert_close(model(ids), model.bigram_logits(ids))


@pytest.mark.parametrize(
    "shape", [{"positions": "none"}, {"positions": "learned"}, {"qk_norm": True}, {"num_heads": 2}]
)
def test_heads_that_cannot_look_back_are_refused(
    make_model: Callable[..., TransformerLM], shape: dict[str, Any]
) -> None:
    model = make_model(**shape)
    with pytest.raises(ValueError, match="heads that look back need"):
        look_back(model, torch.ones(VOCAB_SIZE), (1, 2, 3))
