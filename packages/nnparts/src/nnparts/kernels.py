"""The one place where a faster kernel takes an operation over from its definition.

`functional.py` says what each operation is; `REFERENCE` computes them just so. `FAST` has torch's
fused kernel wherever one was measured to be faster, and the definition elsewhere. Modules take
`impl="fast"` or `impl="reference"`, and tests hold the two equal, forward and backward.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as torch_functional

from nnparts import functional
from nnparts.blocked_attention import blocked_causal_attention
from nnparts.masks import causal_mask

Impl = Literal["fast", "reference"]

_MAX_BLOCKED = 512
"""Positions up to which attention on a CPU goes by blocks, compiled. With 512 it takes 0.54 of the
time of torch's kernel in bf16, 0.85 in fp32, with 256 0.39 and 0.86; but it holds seq^2 numbers."""


@runtime_checkable
class Attention(Protocol):
    """What `functional.grouped_query_attention` does, with its arguments."""

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None = None,
        *,
        is_causal: bool = False,
        dropout_share: float = 0.0,
    ) -> Tensor:
        """Attend, with num_heads / num_kv_heads heads of queries to one of keys and values."""
        ...


@dataclass(frozen=True)
class Kernels:
    """What computes each operation, by the operation's name in `functional`."""

    grouped_query_attention: Attention
    rms_norm: Callable[[Tensor, Tensor, float], Tensor]
    swiglu: Callable[[Tensor, Tensor], Tensor]
    silu: Callable[[Tensor], Tensor]
    gelu: Callable[[Tensor], Tensor]
    relu2: Callable[[Tensor], Tensor]


def select_kernels(impl: Impl) -> Kernels:
    """The kernels that a module made with `impl` calls.

    Raises:
        ValueError: there is no such `impl`.
    """
    if impl not in _KERNELS:
        raise ValueError(f"impl must be one of {tuple(_KERNELS)}, got {impl!r}")
    return _KERNELS[impl]


def grouped_query_attention(
    query: Float[Tensor, "... num_heads queries head_dim"],
    key: Float[Tensor, "... num_kv_heads keys head_dim"],
    value: Float[Tensor, "... num_kv_heads keys value_dim"],
    mask: Bool[Tensor, "... queries keys"] | None = None,
    *,
    is_causal: bool = False,
    dropout_share: float = 0.0,
) -> Float[Tensor, "... num_heads queries value_dim"]:
    """`functional.grouped_query_attention` by torch's kernels, which hold no matrix of scores.

    That is, on a GPU, and on a CPU without dropout; only the first derivative is to be had.
    Compiled for a CPU, short causal sequences go by `blocked_causal_attention`.
    """
    queries, keys = query.shape[-2], key.shape[-2]
    if is_causal and mask is None and queries == keys and _pays_by_blocks(query, dropout_share):
        return blocked_causal_attention(query, key, value)
    # Torch's own is_causal lines up the *first* query and key: the same for a square alone, where
    # it halves the work. A single query, the step of decoding, has no later key at all.
    if is_causal and (mask is not None or queries != keys):
        is_causal = False
        if queries > 1:
            causal = causal_mask(queries, keys, query.device)
            mask = causal if mask is None else mask & causal
    # A mask of its own for every sequence needs a dimension for the heads. One for all must stay
    # as it is: on a CPU torch takes three dimensions for a reason to hold the matrix of scores.
    return torch_functional.scaled_dot_product_attention(
        query,
        key,
        value,
        mask if mask is None or mask.ndim == 2 else mask.unsqueeze(-3),
        dropout_p=dropout_share,
        is_causal=is_causal,
        enable_gqa=query.shape[-3] != key.shape[-3],
    )


def _pays_by_blocks(query: Tensor, dropout_share: float) -> bool:
    return (
        torch.compiler.is_compiling()
        and query.device.type == "cpu"
        and query.shape[-2] <= _MAX_BLOCKED
        and dropout_share == 0
    )


def rms_norm(
    x: Float[Tensor, "... d_model"], weight: Float[Tensor, " d_model"], eps: float
) -> Float[Tensor, "... d_model"]:
    """`functional.rms_norm` by torch's own: one call instead of six, 3 % of a step in fp32."""
    return torch_functional.rms_norm(x, weight.shape, weight.to(x.dtype), eps)


def swiglu(
    gate: Float[Tensor, "... d_ff"], value: Float[Tensor, "... d_ff"]
) -> Float[Tensor, "... d_ff"]:
    """`functional.swiglu` by torch's SiLU: its backward is one pass over the tensor, not four."""
    return torch_functional.silu(gate) * value


REFERENCE = Kernels(
    grouped_query_attention=functional.grouped_query_attention,
    rms_norm=functional.rms_norm,
    swiglu=functional.swiglu,
    silu=functional.silu,
    gelu=functional.gelu,
    relu2=functional.relu2,
)
FAST = Kernels(
    grouped_query_attention=grouped_query_attention,
    rms_norm=rms_norm,
    swiglu=swiglu,
    silu=torch_functional.silu,  # one pass each way, and only the input is kept
    gelu=torch_functional.gelu,
    relu2=functional.relu2,
)
_KERNELS: dict[Impl, Kernels] = {"fast": FAST, "reference": REFERENCE}
