"""Activations: the tensors that a forward pass keeps for the backward pass."""

import dataclasses
from collections.abc import Iterator
from typing import Literal

import torch

from nnparts.accounting.counts import Counts, sizes
from nnparts.config import TransformerConfig
from nnparts.kernels import Impl

# What is kept, as a name and a formula whose first factor is the bytes of a number: "width", of the
# model's dtype; "wide", of fp32 at least, in which norms, softmax and loss compute; or 1 or 8.
_Kept = Iterator[tuple[str, str]]

Loss = Literal["whole", "chunked"]


def activations(
    config: TransformerConfig,
    batch_size: int = 1,
    context_length: int | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    impl: Impl = "fast",
    checkpoint_blocks: bool = False,
    loss: Loss = "whole",
) -> Counts:
    """Bytes of each tensor that the loss of a model in training mode holds until `backward()`.

    The loss is `functional.cross_entropy(model(token_ids), targets)`, or `chunked_cross_entropy`
    of the hidden states, with which `trainkit` trains: it holds no logits. A tensor is named after
    the module that asks for it and what it is there; what several ask for is listed once.
    Parameters and RoPE's tables are asked for, too, but lie there anyway.

    Args:
        config: the model.
        batch_size: sequences.
        context_length: tokens in each; the config's own if None.
        dtype: of the weights, and so of the residual stream.
        impl: what the model computes with, see `kernels`. "fast" is counted as on a CPU: no matrix
            of scores is held but with dropout, for which torch has no kernel there. A GPU's has
            one, and its norms keep no "normalized".
        checkpoint_blocks: only the input of each block is kept, and for one block at a time what
            it keeps while its own backward pass runs: "recomputed".
        loss: "whole", from all logits at once, or "chunked".

    Raises:
        ValueError: as in `counts.sizes`.
    """
    formulas = {"width": str(dtype.itemsize), "wide": str(max(4, dtype.itemsize))}
    numbers = sizes(config, batch_size, context_length)
    if config.sliding_window is not None and config.sliding_window >= numbers["seq"]:
        config = dataclasses.replace(config, sliding_window=None)  # no mask is made of it
    kept = _model(config, impl, checkpoint_blocks, loss)
    return Counts.of(
        "bytes",
        (
            (name, " ".join(formulas.get(factor, factor) for factor in formula.split()))
            for name, formula in kept
        ),
        numbers,
    )


def _model(config: TransformerConfig, impl: Impl, checkpoint_blocks: bool, loss: Loss) -> _Kept:
    yield "token_ids", "8 batch seq"
    if config.positions == "learned":
        yield "positions", "8 seq"
    if config.dropout:
        yield "dropout.is_kept", "1 batch seq d_model"
    if checkpoint_blocks:
        yield "layers.*.input", "width num_layers batch seq d_model"
    for name, formula in _block(config, impl):
        if checkpoint_blocks:
            yield f"recomputed.{name}", formula
        else:
            yield f"layers.*.{name}", f"{formula} num_layers"
    if config.norm == "pre":
        yield from _norm("ln_final")
    if loss == "chunked":
        # Of the mean loss, made in the forward pass already.
        yield "loss.hidden_gradient", "width batch seq d_model"
        yield "loss.head_gradient", "wide vocab_size d_model"
    else:
        yield "lm_head.input", "width batch seq d_model"
        yield from _loss(config)


def _block(config: TransformerConfig, impl: Impl) -> _Kept:
    if config.norm != "none":
        yield from _norm("ln1")
    yield from _attention(config, impl)
    if config.norm != "none":
        yield from _norm("ln2")
    yield from _feed_forward(config, impl)
    if config.dropout:
        yield "attn.dropout.is_kept", "1 batch seq d_model"
        yield "ffn.dropout.is_kept", "1 batch seq d_model"


def _norm(name: str, numbers: str = "batch seq d_model", rows: str = "batch seq") -> _Kept:
    """x, 1 / rms(x), and their product, which the gains' gradient asks for."""
    yield f"{name}.input", f"wide {numbers}"
    yield f"{name}.inverse_rms", f"wide {rows}"
    yield f"{name}.normalized", f"wide {numbers}"


def _attention(config: TransformerConfig, impl: Impl) -> _Kept:
    yield "attn.input", "width batch seq d_model"
    if config.qk_norm:
        for norm, heads in (("q_norm", "num_heads"), ("k_norm", "num_kv_heads")):
            rows = f"batch seq {heads}"
            yield from _norm(f"attn.{norm}", f"{rows} head_dim", rows)
    if impl == "reference":
        yield from _reference_attention(config)
    elif config.dropout:
        yield from _unfused_attention()
    else:
        yield from _fused_attention(config)
    yield "attn.heads", "width batch seq num_heads head_dim"


def _fused_attention(config: TransformerConfig) -> _Kept:
    """Torch's kernel, by which no matrix of scores is held."""
    yield "attn.query", "width batch num_heads seq head_dim"
    yield "attn.key", "width batch num_kv_heads seq head_dim"
    yield "attn.value", "width batch num_kv_heads seq head_dim"
    if config.sliding_window is not None:
        yield "attn.mask", "width seq seq"  # as what it adds to the scores: 0 or -inf
    if config.positions == "rope":
        # The kernel lays its output out like the queries. RoPE leaves these head after head, so
        # that the heads are put beside each other in a copy; a GPU's kernel needs none.
        yield "attn.output", "width batch num_heads seq head_dim"
    yield "attn.log_sum_exp", "wide batch num_heads seq"


def _unfused_attention() -> _Kept:
    """What torch does on a CPU where its kernel has no dropout, in fp32 at least."""
    for name in ("query", "key", "value"):  # keys and values once for every head of queries
        yield f"attn.{name}", "wide batch num_heads seq head_dim"
    for name in ("probs", "probs_kept", "probs_left"):  # the middle one 0 or 1 / (1 - share)
        yield f"attn.{name}", "wide batch num_heads seq seq"


def _reference_attention(config: TransformerConfig) -> _Kept:
    """`functional.scaled_dot_product_attention`; keys and values once for every head of queries."""
    for name in ("query", "key", "value"):
        yield f"attn.{name}", "width batch num_heads seq head_dim"
    yield "attn.mask", "1 seq seq"
    yield "attn.looks", "1 seq"
    yield "attn.exp", "wide batch num_heads seq seq"
    yield "attn.inverse_sum", "wide batch num_heads seq"
    yield "attn.probs", "width batch num_heads seq seq"
    if config.dropout:
        yield "attn.probs_kept", "1 batch num_heads seq seq"


def _feed_forward(config: TransformerConfig, impl: Impl) -> _Kept:
    """The input of each matrix, and what the activation between them asks for."""
    yield "ffn.input", "width batch seq d_model"
    kept = {
        "swiglu": {"gate": "width", "silu": "width", "value": "width"},
        "silu": {"inner": "width"},
        "gelu": {"inner": "width"},
        "relu2": {"relu": "width"},
    }
    if impl == "reference":  # fused, an activation finds the rest again from its input
        kept |= {
            "swiglu": {"gate": "wide", "sigmoid": "wide", "silu": "width", "value": "width"},
            "silu": {"inner": "wide", "sigmoid": "wide"},
            "gelu": {"inner": "wide", "inner_over_root_2": "wide", "one_plus_erf": "wide"},
        }
    for name, width in kept[config.feed_forward].items():
        yield f"ffn.{name}", f"{width} batch seq d_ff"
    yield "ffn.activated", "width batch seq d_ff"


def _loss(config: TransformerConfig) -> _Kept:
    if config.logit_soft_cap is not None:
        yield "loss.tanh", "width batch seq vocab_size"
    yield "loss.logits", "width batch seq vocab_size"
    yield "loss.exp", "wide batch seq vocab_size"
    yield "loss.sum", "wide batch seq"
    yield "loss.targets", "8 batch seq"
