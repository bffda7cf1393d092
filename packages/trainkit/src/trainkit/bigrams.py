"""A start from pairs: which token follows which, learned before any context is looked at."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from nnparts import TransformerLM
from numpy.typing import NDArray
from optimkit import AdamW
from torch import Tensor

from trainkit.dataset import TokenDataset
from trainkit.made_heads import MadeHeads
from trainkit.precision import Precision, precision_context

_ROWS = 1024  # of logits at once: 16 MB for 4,096 tokens, 200 MB for 50,257
_CONSTANT = 2.0  # standard deviations of an embedding's numbers


@dataclass(frozen=True)
class PairCounts:
    """How often each token is followed by each other: a matrix, of which what is not 0 is kept."""

    first: Int[Tensor, " pairs"]
    """Tokens, in ascending order."""
    second: Int[Tensor, " pairs"]
    """The tokens after them."""
    count: Float[Tensor, " pairs"]
    """How often that is so; in fp32, exact below 16,777,216 and to 7 digits above."""
    vocab_size: int

    @classmethod
    def of(cls, token_ids: NDArray[np.integer], vocab_size: int) -> "PairCounts":
        """Counts the pairs of neighbours in `token_ids`, `(token_count,)`."""
        ids = token_ids.astype(np.int64)
        pairs, counts = np.unique(ids[:-1] * vocab_size + ids[1:], return_counts=True)
        first, second = np.divmod(pairs, vocab_size)
        return cls(
            torch.from_numpy(first),
            torch.from_numpy(second),
            torch.from_numpy(counts.astype(np.float32)),
            vocab_size,
        )

    @property
    def of_tokens(self) -> Float[Tensor, " vocab_size"]:
        """How often each token is the first of a pair."""
        return torch.bincount(self.first, self.count.double(), self.vocab_size).float()

    def rows(self, start: int, stop: int) -> Float[Tensor, "rows vocab_size"]:
        """The counts after each token in [start, stop)."""
        low, high = torch.searchsorted(self.first, torch.tensor([start, stop])).tolist()
        here = slice(low, high)
        matrix = torch.zeros(stop - start, self.vocab_size)
        matrix[self.first[here] - start, self.second[here]] = self.count[here]
        return matrix


def start_from_bigrams(
    model: TransformerLM,
    dataset: TokenDataset,
    *,
    updates: int = 60,
    lr: float = 0.02,
    max_tokens: int = 20_000_000,
    precision: Precision = "fp32",
    look_back_heads: int = 0,
    copying_head: bool = False,
) -> float:
    """Make `model` the best bigram model that its embeddings and head can be, before it is trained.

    The blocks are silenced, so that logits depend on the last token alone; then embeddings, the
    last norm and the head learn P(next | token) from the counts of all pairs C,

        loss = -sum_xy C(x, y) log P(y | x) / sum_xy C(x, y),

    by `updates` full-batch steps of AdamW: each sees every pair of the text at the price of
    `vocab_size` tokens through the head. A model of 5 M parameters that starts so predicts tales
    at 1.88 bits a byte before its first step; without, it takes 500,000 tokens to get there.

    All embeddings begin with one number alike, so that the head has a bias to learn and the layers
    a constant to make heads of that look back.

    Args:
        model: untrained, with the norm before its sublayers or none.
        dataset: what it will be trained on.
        updates: steps; the learning rate rises for a tenth of them and falls to 0.
        lr: highest learning rate. Not the training's: this is another problem, a convex one but
            for the factors, and its gradient has no noise.
        max_tokens: pairs are counted in the first so many tokens, which bounds time and memory
            (32 bytes each).
        precision: what matrix products are computed in; "fp16", whose gradients would want a scale,
            is taken for "fp32" here.
        look_back_heads: how many heads of each of the first two layers begin by looking 1, 2, 3,
            ... tokens back (`look_back`), so that blocks learn from the first step on what follows
            more than one token.
        copying_head: whether one of them, in the second layer, begins by looking at what followed
            the same token before (`look_after_same`).

    Returns:
        The loss over all pairs before the last step, nats a token.

    Raises:
        ValueError: a model with norm "post", which no silence makes look past its blocks; fewer
            than two tokens; fewer than no updates; heads that this model can't have.
    """
    if updates < 0:
        raise ValueError(f"updates must be at least 0, got {updates}")
    if model.config.norm == "post":
        raise ValueError(
            "a start from bigrams needs blocks that can be silent, got norm='post', whose blocks "
            "normalize what they are given; use norm='pre', or start without"
        )
    heads = MadeHeads(look_back_heads, copying_head)
    heads.check(model)
    if len(dataset) < 2:
        raise ValueError(f"pairs need at least 2 tokens, {dataset.path} has {len(dataset)}")
    ids = dataset.windows(np.zeros(1, np.int64), min(len(dataset), max_tokens))[0]
    counts = PairCounts.of(ids, model.config.vocab_size)
    model.silence_blocks()
    with torch.no_grad():
        embeddings = model.token_embeddings.weight
        embeddings[:, -1] = _CONSTANT * embeddings.std()
    scratch = slice(heads.scratch_width(model))
    tables = [model.token_embeddings.weight, model.lm_head.weight]
    for table in tables:
        table.data[:, scratch] = 0
    learning = [model.token_embeddings, model.ln_final, model.lm_head]
    weights = {id(p): p for module in learning for p in module.parameters()}  # tied: once
    optimizer = AdamW(list(weights.values()), lr=lr, betas=(0.9, 0.95), weight_decay=0.0)
    loss = 0.0
    for update in range(updates):
        optimizer.param_groups[0]["lr"] = lr * _ramp(update, updates)
        optimizer.zero_grad()
        loss = _backward(model, counts, "fp32" if precision == "fp16" else precision)
        for table in tables:
            assert table.grad is not None
            table.grad[:, scratch] = 0  # no embedding and no logit uses it
        optimizer.step()
    optimizer.zero_grad()
    heads.make(model, counts.of_tokens)
    return loss


def _ramp(update: int, updates: int) -> float:
    """Up for a tenth of the updates, then down to 0."""
    return min((update + 1) / (0.1 * updates), 1 - update / updates)


def _backward(model: TransformerLM, counts: PairCounts, precision: Precision) -> float:
    """The loss over all pairs, its gradients added to `.grad`; some rows at a time."""
    device = model.token_embeddings.weight.device
    pair_count, total = counts.count.sum(dtype=torch.float64).item(), 0.0
    for start in range(0, counts.vocab_size, _ROWS):
        stop = min(start + _ROWS, counts.vocab_size)
        wanted = counts.rows(start, stop).to(device)
        with precision_context(precision, device):
            logits = model.bigram_logits(torch.arange(start, stop, device=device)).float()
            surprise = wanted.sum(-1) @ logits.logsumexp(-1) - (wanted * logits).sum()
            loss = surprise / pair_count
            loss.backward()
        total += loss.item()
    return total
