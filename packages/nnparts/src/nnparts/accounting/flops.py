"""Floating-point operations: the matrix products of a forward and a backward pass."""

from collections.abc import Iterator
from dataclasses import dataclass

from nnparts.accounting.counts import Count, Counts, evaluate, sizes
from nnparts.accounting.parameters import parameters
from nnparts.config import TransformerConfig

ADAMW_FLOPS_PER_PARAMETER = 14


@dataclass(frozen=True)
class Matmul:
    """`times` products of an `(m, k)` and a `(k, n)` matrix: 2 m k n operations each.

    Each of the m n results is k multiplications and k additions (Golub and Van Loan 2013, Matrix
    Computations, section 1.1.15).

    Attributes:
        name: of the module, as in the state dict, "layers.*" being every layer; "attn.scores" is
            Q K^T and "attn.heads" the probabilities times V.
        m: rows of the first: tokens.
        k: columns of the first, rows of the second: what is summed over.
        n: columns of the second: features or keys.
        times: how often: num_layers, and within attention once for every sequence and head.
        formula: `flops` in names.
    """

    name: str
    m: int
    k: int
    n: int
    times: int
    formula: str

    @property
    def flops(self) -> int:
        """2 m k n times."""
        return 2 * self.m * self.k * self.n * self.times


def matmuls(
    config: TransformerConfig, batch_size: int = 1, context_length: int | None = None
) -> list[Matmul]:
    """The matrix products of a forward pass, in order.

    Attention is counted in full, as it is computed by the reference path and counted by
    `torch.utils.flop_counter`: a causal mask or a sliding window saves nothing here, though a
    kernel that knows of it skips up to half (causal) or more (window) of "scores" and "heads".

    Args:
        config: the model.
        batch_size: sequences.
        context_length: tokens in each; the config's own if None.

    Raises:
        ValueError: as in `counts.sizes`.
    """
    numbers = sizes(config, batch_size, context_length)

    def matmul(name: str, m: str, k: str, n: str, times: str) -> Matmul:
        factors = (evaluate(factor, numbers) for factor in (m, k, n, times))
        return Matmul(name, *factors, formula=" ".join(f"2 {times} {m} {k} {n}".split()))

    return [matmul(*factors) for factors in _matmuls(config)]


def _matmuls(config: TransformerConfig) -> Iterator[tuple[str, str, str, str, str]]:
    """Name, m, k, n and times."""
    tokens = "batch seq"
    for name, k, n in _projections(config):
        yield f"layers.*.{name}", tokens, k, n, "num_layers"
        if name == "attn.v_proj":
            heads = "num_layers batch num_heads"
            yield "layers.*.attn.scores", "seq", "head_dim", "seq", heads
            yield "layers.*.attn.heads", "seq", "seq", "head_dim", heads
    yield "lm_head", tokens, "d_model", "vocab_size", ""


def _projections(config: TransformerConfig) -> Iterator[tuple[str, str, str]]:
    """Name, width of the input and width of the output of a block's linear maps."""
    yield "attn.q_proj", "d_model", "num_heads head_dim"
    yield "attn.k_proj", "d_model", "num_kv_heads head_dim"
    yield "attn.v_proj", "d_model", "num_kv_heads head_dim"
    yield "attn.output_proj", "num_heads head_dim", "d_model"
    yield "ffn.w1", "d_model", "d_ff"
    if config.feed_forward == "swiglu":
        yield "ffn.w3", "d_model", "d_ff"
    yield "ffn.w2", "d_ff", "d_model"


def forward_flops(
    config: TransformerConfig, batch_size: int = 1, context_length: int | None = None
) -> Counts:
    """The matrix products of a forward pass by module; `.total` is their sum.

    What isn't a product of matrices (norms, activations, softmax, RoPE) is left out, as everywhere
    in the field: a few operations a number, where a product has thousands.

    Args:
        config: the model.
        batch_size: sequences.
        context_length: tokens in each; the config's own if None.

    Raises:
        ValueError: as in `counts.sizes`.
    """
    products = matmuls(config, batch_size, context_length)
    return Counts("forward FLOPs", tuple(Count(p.name, p.formula, p.flops) for p in products))


def backward_flops(
    config: TransformerConfig,
    batch_size: int = 1,
    context_length: int | None = None,
    *,
    checkpoint_blocks: bool = False,
) -> int:
    """Twice the forward pass: Y = A B asks for dA = dY B^T and dB = A^T dY, 2 m k n each.

    With checkpointed blocks their forward pass is computed a second time besides, up to the last
    number that the backward pass asks for: under pre-norm and without dropout that is the input of
    `ffn.w2`, so this product alone is not repeated.

    Kaplan et al. 2020, section 2.1 (https://arxiv.org/abs/2001.08361).

    Args:
        config: the model.
        batch_size: sequences.
        context_length: tokens in each; the config's own if None.
        checkpoint_blocks: whether the blocks are computed again, as `model.checkpoint_blocks()`
            has it.

    Raises:
        ValueError: as in `counts.sizes`.
    """
    forward = forward_flops(config, batch_size, context_length)
    if not checkpoint_blocks:
        return 2 * forward.total
    is_w2_repeated = config.norm == "post" or config.dropout > 0
    unrepeated = 0 if is_w2_repeated else forward["layers.*.ffn.w2"]
    return 2 * forward.total + forward["layers.*"] - unrepeated


def adamw_flops(config: TransformerConfig) -> int:
    """14 operations a parameter.

    Of `optimkit.AdamW`'s update: 1 for the decay, 3 for exp_avg, 4 for exp_avg_sq, 3 for the
    denominator (square root, division, eps), 3 for the step. What is computed once for all
    parameters isn't counted.
    """
    return ADAMW_FLOPS_PER_PARAMETER * parameters(config).total


def training_flops(
    config: TransformerConfig,
    batch_size: int = 1,
    context_length: int | None = None,
    *,
    checkpoint_blocks: bool = False,
) -> int:
    """Forward and backward pass of one step; `adamw_flops` come on top, once a step.

    Args:
        config: the model.
        batch_size: sequences.
        context_length: tokens in each; the config's own if None.
        checkpoint_blocks: whether the blocks are computed again, see `backward_flops`.

    Raises:
        ValueError: as in `counts.sizes`.
    """
    backward = backward_flops(
        config, batch_size, context_length, checkpoint_blocks=checkpoint_blocks
    )
    return forward_flops(config, batch_size, context_length).total + backward
