"""Keys and values of the tokens so far, so that the next token needs no second look at them."""

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nnparts.config import TransformerConfig


@dataclass(frozen=True, eq=False)
class LayerCache:
    """One layer's share of a `KVCache`.

    Attributes:
        heads: `(batch, 2 num_kv_heads, context_length, head_dim)`, the keys' heads and then the
            values', filled up to `length`.
        length: positions filled before this pass.
    """

    heads: Float[Tensor, "batch heads context_length head_dim"]
    length: int

    def append(
        self, key: Float[Tensor, "... seq head_dim"], value: Float[Tensor, "... seq head_dim"]
    ) -> tuple[Float[Tensor, "... keys head_dim"], Float[Tensor, "... keys head_dim"]]:
        """Write `seq` positions behind the first `length`.

        Returns:
            Keys and values of all `length + seq` positions.

        Raises:
            ValueError: they don't fit, or they carry a graph, which a cache would tear.
        """
        if key.requires_grad and torch.is_grad_enabled():
            raise ValueError("a KVCache keeps no graph: call the model under torch.no_grad()")
        keys, values = self.heads.chunk(2, dim=1)
        return self._write(keys, key), self._write(values, value)

    def _write(self, room: Tensor, new: Tensor) -> Tensor:
        """Put what is `new` into `room`; all that is there then."""
        end = self.length + new.shape[-2]
        slot = room[:, :, self.length : end]  # cut short where the cache is full
        if slot.shape != new.shape:
            raise ValueError(
                "the cache has room for (batch, heads, seq, head_dim) ="
                f" {tuple(slot.shape)}, got {tuple(new.shape)}: make one for this batch size,"
                " or reset it"
            )
        slot.copy_(new)
        return room[:, :, :end].to(new.dtype)


class NextPosition(NamedTuple):
    """One layer's share of a `KVCache`, for one position more."""

    slot: Float[Tensor, "batch heads 1 head_dim"]
    """Where its key heads and then its value heads go."""
    keys: Float[Tensor, "batch num_kv_heads keys head_dim"]
    """Of all positions, this one included, as soon as it is written."""
    values: Float[Tensor, "batch num_kv_heads keys head_dim"]
    """The same."""


class KVCache:
    """A static cache: allocated once at its full size, filled from the front.

    `TransformerLM(config)(token_ids, cache=cache)` attends to the `length` positions in it and to
    the new ones, appends the new ones and returns logits for them alone. All rows of the batch
    grow in step; prompts of several lengths are padded on the left, and the padding, told by the
    `attention_mask` of that call, is remembered: later tokens neither see it nor count it.
    Inference only: it keeps no graph.

    Args:
        config: of the model that will fill it.
        batch_size: number of sequences that grow side by side.
        device: where it lies; torch's default if None.
        dtype: of keys and values; torch's default if None.

    Attributes:
        keys: `(num_layers, batch, num_kv_heads, context_length, head_dim)`.
        values: the same.
        is_token: `(batch, context_length)`, False at padding.
        has_padding: whether any filled position is padding; without, no mask is needed.
        length: positions filled.

    Raises:
        ValueError: `batch_size` isn't positive.
    """

    def __init__(
        self,
        config: TransformerConfig,
        batch_size: int = 1,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be positive, got {batch_size}")
        heads, head_dim = config.num_kv_heads, config.head_dim
        assert heads is not None and head_dim is not None  # noqa: PT018 (filled in by the config)
        shape = (config.num_layers, batch_size, 2 * heads, config.context_length, head_dim)
        # Zeros, not whatever memory holds: a hidden NaN times its probability 0 would be NaN. Keys
        # and values of a layer lie together: what a step of decoding adds is then one copy.
        self._heads = torch.zeros(shape, device=device, dtype=dtype)
        self.keys, self.values = self._heads.chunk(2, dim=2)
        self.is_token = torch.ones(
            batch_size, config.context_length, dtype=torch.bool, device=device
        )
        self.has_padding = False
        self.length = 0

    @classmethod
    def for_model(
        cls,
        model: torch.nn.Module,
        batch_size: int = 1,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> "KVCache":
        """A cache for `model`, a `TransformerLM`, on its device and in its dtype unless given."""
        weight = next(model.parameters())
        return cls(
            cast(TransformerConfig, model.config),
            batch_size,
            device=device or weight.device,
            dtype=dtype or weight.dtype,
        )

    def layer(self, index: int) -> LayerCache:
        """The share of layer `index`, a view."""
        return LayerCache(self._heads[index], self.length)

    def next_position(self, batch: int) -> list["NextPosition"]:
        """Of each layer what a step of decoding writes and reads, where each row grows by one.

        The views of all layers are made at once: a layer at a time takes 2 % of a step more.

        Raises:
            ValueError: the cache is full, or made for another number of rows than `batch`.
        """
        end = self.length + 1
        rows, positions = self.is_token.shape
        if batch != rows or end > positions:
            raise ValueError(
                f"the cache has room for (batch, positions) = ({rows}, {positions}), got"
                f" ({batch}, {end}): make one for this batch size, or reset it"
            )
        slots = self._heads[:, :, :, self.length : end].unbind()
        keys, values = (heads[:, :, :, :end].unbind() for heads in (self.keys, self.values))
        return [NextPosition(*views) for views in zip(slots, keys, values, strict=True)]

    def extend_attention_mask(
        self, attention_mask: Bool[Tensor, "batch seq"] | None, seq: int
    ) -> Bool[Tensor, "batch keys"] | None:
        """Remember which of `seq` new positions are tokens (None: all), before they are appended.

        Returns:
            `(batch, length + seq)`, False at padding; None where there is none.
        """
        end = self.length + seq
        self.has_padding = self.has_padding or attention_mask is not None
        if not self.has_padding:
            return None
        self.is_token[:, self.length : end] = True if attention_mask is None else attention_mask
        return self.is_token[:, :end]

    def reset(self) -> None:
        """Forget every position; the memory stays."""
        self.length = 0
        self.has_padding = False
        self.is_token.fill_(True)
