"""What the model looks at while it decodes, and what of it the cache has seen."""

from typing import Any, cast

from jaxtyping import Float, Int64
from nnparts import DecodingStep, KVCache, TransformerConfig, TransformerLM
from torch import Tensor, nn

from trainkit.model_state import unwrap
from trainkit.prompts import Prompts, tokens_from
from trainkit.token_rows import TokenRows


class DecodingWindow:
    """The last tokens of every row, as many as the model's context lets it see.

    When `context_length` tokens of a row are in view, its last `context_length // 2` become the
    start of a new window. So a token costs one position most of the time, and every token sees at
    least half a context. Each row slides when it alone would: then the cache is filled anew for
    all, and what a row still sees stays the same.

    Args:
        model: a `TransformerLM`, or anything with its `config` and call.
        prompts: what the rows begin with.
        use_cache: False computes the whole window again for each token.
        one_more: what computes one token a row behind those in the cache; None: the model.
    """

    def __init__(
        self,
        model: nn.Module,
        prompts: Prompts,
        *,
        use_cache: bool,
        one_more: DecodingStep | None = None,
    ) -> None:
        self.model, self.one_more = model, one_more
        bare = unwrap(model)
        self.context_length = cast(TransformerConfig, bare.config).context_length
        self.cache = KVCache.for_model(bare, len(prompts.starts)) if use_cache else None
        self.starts = list(prompts.starts)

    def next_logits(self, rows: TokenRows) -> Float[Tensor, "batch vocab_size"]:
        """`(batch, vocab_size)` logits of what follows `rows`, one token longer at each call."""
        self._slide(len(rows))
        if self.cache is not None and self.cache.length:
            if self.one_more is not None:
                return self.one_more(rows.last, self.cache)
            return self._last_logits(rows.last[:, None], cache=self.cache)
        token_ids = rows.token_ids
        arguments: dict[str, Any] = self._padding(token_ids)
        if self.cache is not None:
            arguments["cache"] = self.cache
        return self._last_logits(token_ids[:, min(self.starts) :], **arguments)

    def _last_logits(
        self, token_ids: Int64[Tensor, "batch seq"], **arguments: Any
    ) -> Float[Tensor, "batch vocab_size"]:
        """By the last position alone, where the model has a way to ask for it."""
        if type(self.model) is TransformerLM:
            arguments["last_only"] = True
        return self.model(token_ids, **arguments)[:, -1]

    def _slide(self, end: int) -> None:
        """Move the starts of those rows that hold more than the context."""
        if end - min(self.starts) <= self.context_length:
            return
        kept = max(1, self.context_length // 2)
        self.starts = [
            end - kept if end - start > self.context_length else start for start in self.starts
        ]
        if self.cache is not None:
            self.cache.reset()

    def _padding(self, rows: Int64[Tensor, "batch seq"]) -> dict[str, Tensor]:
        """The mask that hides what stands before a row's start, where it is needed."""
        start = min(self.starts)
        if start == max(self.starts):
            return {}
        return {"attention_mask": tokens_from(self.starts, start, rows.shape[1], rows.device)}
