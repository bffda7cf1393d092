"""Decoding: from a prompt's token ids to what the model would go on with."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from jaxtyping import Float64, Int64
from nnparts import KVCache, TransformerConfig, packed_linears
from torch import Tensor, nn

from trainkit.drawing import draw
from trainkit.evaluate import evaluation_mode
from trainkit.model_state import unwrap
from trainkit.sampling import Sampling

_TOKENS_TO_PACK = 32  # packing costs 40 steps' gain with one sequence, 10 with eight
Prompt = Sequence[int] | Sequence[Sequence[int]] | Tensor


def generate(
    model: nn.Module,
    prompt_ids: Prompt,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float | None = None,
    *,
    top_k: int | None = None,
    stop_token: int | None = None,
    seed: int | None = None,
    generator: torch.Generator | None = None,
    use_cache: bool = True,
    on_token: Callable[[Int64[Tensor, " batch"]], None] | None = None,
) -> Int64[Tensor, "..."]:
    """Continue `prompt_ids` by up to `max_new_tokens` tokens.

    Every row draws from a random stream of its own, so row r comes out the same in a batch of any
    size, and the same with the KV cache as without (but where two logits differ by rounding only).

    Past the context the window slides: when `context_length` tokens are in view, the last
    `context_length // 2` of them become the prompt of a new window. So a token costs one position
    most of the time, and every token sees at least half a context.

    Args:
        model: a `TransformerLM`, or anything with its `config` and call; its mode is put back.
        prompt_ids: `(seq,)` or `(batch, seq)`, from 1 to `context_length` tokens.
        max_new_tokens: at most so many.
        temperature: divides the logits; 0 takes the likeliest token.
        top_p: choose from the nucleus of this mass; None from all.
        top_k: choose from the `top_k` likeliest; None from all.
        stop_token: ends a row; it is part of the result. None: nothing does.
        seed: of the draws, for the same result every time.
        generator: source of the rows' seeds instead; with neither, torch's global one is.
        use_cache: False computes the whole window again for each token.
        on_token: called after each token with `(batch,)` token ids, `stop_token` where a row has
            ended.

    Returns:
        Prompt and continuation, on the model's device: `(seq + new,)` for a prompt of one
        dimension, else `(batch, seq + new)`, where new <= `max_new_tokens` is the longest row's;
        shorter rows are filled up with `stop_token`.

    Raises:
        ValueError: the prompt is empty, longer than the context or holds an id outside the
            vocabulary; a parameter is out of range; both `seed` and `generator` are given.
    """
    sampling = Sampling(temperature, top_k, top_p)
    config = cast(TransformerConfig, unwrap(model).config)
    device = next(model.parameters()).device
    prompt = torch.as_tensor(prompt_ids, device=device)
    rows = _checked_rows(prompt, config)
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens must be at least 0, got {max_new_tokens}")
    streams = _row_streams(len(rows), device, seed, generator)
    has_ended = torch.zeros(len(rows), dtype=torch.bool, device=device)
    with evaluation_mode(model), _fast_linears(model, len(rows), max_new_tokens, use_cache):
        window = _Window(model, config.context_length, use_cache, batch_size=len(rows))
        for _ in range(max_new_tokens):
            token_ids = draw(window.next_logits(rows), sampling, _uniforms(streams))
            if stop_token is not None:
                token_ids = token_ids.masked_fill(has_ended, stop_token)
                has_ended = token_ids == stop_token
            rows = torch.cat([rows, token_ids[:, None]], dim=1)  # (batch, seq + 1)
            if on_token is not None:
                on_token(token_ids)
            if stop_token is not None and bool(has_ended.all()):
                break
    return rows if prompt.ndim == 2 else rows[0]


def _fast_linears(
    model: nn.Module, rows: int, max_new_tokens: int, use_cache: bool
) -> AbstractContextManager[None]:
    """Packed weights where the tokens are enough to pay for packing, one row a sequence each."""
    if use_cache and max_new_tokens >= _TOKENS_TO_PACK and unwrap(model) is model:
        return packed_linears(model, rows)
    return nullcontext()


class _Window:
    """The part of the rows that the model looks at, and how much of it the cache has seen."""

    def __init__(
        self, model: nn.Module, context_length: int, use_cache: bool, *, batch_size: int
    ) -> None:
        self.model = model
        self.context_length = context_length
        self.cache = KVCache.for_model(unwrap(model), batch_size) if use_cache else None
        self.start = 0

    def next_logits(self, rows: Int64[Tensor, "batch seq"]) -> Tensor:
        """`(batch, vocab_size)` logits of what follows `rows`."""
        if rows.shape[1] - self.start > self.context_length:
            self.start = rows.shape[1] - max(1, self.context_length // 2)
            if self.cache is not None:
                self.cache.reset()
        if self.cache is None:
            return self.model(rows[:, self.start :])[:, -1]
        unseen = rows[:, self.start + self.cache.length :]
        return self.model(unseen, cache=self.cache)[:, -1]


def _checked_rows(prompt: Tensor, config: TransformerConfig) -> Int64[Tensor, "batch seq"]:
    if prompt.ndim not in (1, 2) or prompt.numel() == 0:
        raise ValueError(
            "prompt_ids must be (seq,) or (batch, seq) with at least one token, got shape "
            f"{tuple(prompt.shape)}; an end-of-text token can start a text from nothing"
        )
    if prompt.is_floating_point():
        raise ValueError(f"prompt_ids must be integers, got {prompt.dtype}")
    if prompt.shape[-1] > config.context_length:
        raise ValueError(
            f"the prompt has {prompt.shape[-1]} tokens, the model's context_length is "
            f"{config.context_length}; give the last {config.context_length} at most"
        )
    outside = prompt[(prompt < 0) | (prompt >= config.vocab_size)]
    if len(outside):
        raise ValueError(
            f"token id {int(outside[0])} is not in the model's vocabulary of {config.vocab_size}; "
            "encode the prompt with the tokenizer it was trained with"
        )
    return prompt.long() if prompt.ndim == 2 else prompt.long()[None]


def _row_streams(
    batch_size: int, device: torch.device, seed: int | None, generator: torch.Generator | None
) -> list[torch.Generator]:
    """One generator a row. Their seeds are drawn one by one, so more rows change no earlier one."""
    if seed is not None and generator is not None:
        raise ValueError("give a seed or a generator, not both")
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
    source = torch.device("cpu") if generator is None else generator.device
    return [
        torch.Generator(device).manual_seed(
            int(torch.randint(2**63 - 1, (), generator=generator, device=source))
        )
        for _ in range(batch_size)
    ]


def _uniforms(streams: list[torch.Generator]) -> Float64[Tensor, " batch"]:
    """The next number of every row's stream, in [0, 1)."""
    return torch.cat(
        [torch.rand(1, generator=s, dtype=torch.float64, device=s.device) for s in streams]
    )
