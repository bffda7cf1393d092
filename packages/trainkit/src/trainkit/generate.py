"""Decoding: from a prompt's token ids to what the model would go on with."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float, Int64
from nnparts import DecodingStep, TransformerConfig, TransformerLM, can_step
from torch import Tensor, nn

from trainkit.decoding_window import DecodingWindow
from trainkit.drawing import draw
from trainkit.evaluate import eval_mode
from trainkit.model_state import unwrap
from trainkit.prompts import Prompt, Prompts, read_prompts
from trainkit.row_streams import RowStreams, row_streams
from trainkit.sampling import Sampling
from trainkit.stopping import StopFinder, Stopping
from trainkit.token_rows import TokenRows

_TOKENS_TO_COPY = 32  # a copy of the weights costs 40 steps' gain with one row, 10 with eight


@dataclass(frozen=True, eq=False)
class Step:
    """One token more for every row.

    Attributes:
        token_ids: `(batch,)`; the padding token where a row had ended before.
        log_probs: `(batch,)`, ln P(token | all before it in view) by the model itself, whatever
            the sampling makes of it, in nats; 0 where a row had ended before; None where they
            were not asked for.
        is_new: `(batch,)`, False where a row had ended before.
    """

    token_ids: Int64[Tensor, " batch"]
    log_probs: Float[Tensor, " batch"] | None
    is_new: Bool[Tensor, " batch"]


def generate(
    model: nn.Module,
    prompt_ids: Prompt,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float | None = None,
    *,
    top_k: int | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    stop_token: int | Sequence[int] | None = None,
    stop_sequences: Sequence[Sequence[int]] = (),
    pad_token: int | None = None,
    seed: int | Sequence[int] | None = None,
    generator: torch.Generator | None = None,
    use_cache: bool = True,
    on_token: Callable[[Int64[Tensor, " batch"]], None] | None = None,
) -> Int64[Tensor, "..."]:
    """Continue `prompt_ids` by up to `max_new_tokens` tokens.

    Every row draws from a random stream of its own, so row r comes out the same in a batch of any
    size beside rows of any length, and the same with the KV cache as without (but where two logits
    differ by rounding only). Past the context the window slides, see `DecodingWindow`. The same as
    `generate_stream`, put together.

    Args:
        model: a `TransformerLM`, or anything with its `config` and call; its mode is put back.
        prompt_ids: `(seq,)`, `(batch, seq)`, or a list of rows, each of its own length; from 1 to
            `context_length` tokens.
        max_new_tokens: at most so many.
        temperature: divides the logits; 0 takes the likeliest token.
        top_p: choose from the nucleus of this mass; None from all.
        top_k: choose from the `top_k` likeliest; None from all.
        min_p: choose from those at least `min_p` times as likely as the likeliest; None from all.
        repetition_penalty: above 1 makes what a row already holds unlikelier, its prompt included.
        stop_token: ends a row, or several of which each does; it is part of the result.
        stop_sequences: ids that end a row when they come one after the other, after the prompt;
            part of the result.
        pad_token: fills up rows that have ended, and on the left those of shorter prompts; the
            first stop token if None.
        seed: of the draws, for the same result every time; or one for each row.
        generator: source of the rows' seeds instead; with neither, torch's global one is.
        use_cache: False computes the whole window again for each token.
        on_token: called after each token with `(batch,)` token ids, `pad_token` where a row has
            ended.

    Returns:
        Prompt and continuation, on the model's device: `(seq + new,)` for a prompt of one
        dimension, else `(batch, seq + new)`, where seq is the longest prompt's and new <=
        `max_new_tokens` the longest continuation's length.

    Raises:
        ValueError: a prompt is empty, longer than the context or holds an id outside the
            vocabulary; a parameter is out of range; both `seed` and `generator` are given; rows
            need a `pad_token` and there is none.
    """
    sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty)
    stop_tokens = [stop_token] if isinstance(stop_token, int) else list(stop_token or ())
    stopping = Stopping(stop_tokens, stop_sequences)
    prompts = _read_prompts(model, prompt_ids)
    if pad_token is None:
        pad_token = _default_pad_token(prompts, stopping)
    steps = _stream(
        model,
        prompts,
        max_new_tokens,
        sampling,
        stopping=stopping,
        pad_token=pad_token,
        streams=row_streams(len(prompts.starts), prompts.token_ids.device, seed, generator),
        use_cache=use_cache,
        log_probs=False,
    )
    rows = TokenRows(prompts.token_ids.where(prompts.is_token, pad_token))
    for step in steps:
        rows.append(step.token_ids)
        if on_token is not None:
            on_token(step.token_ids)
    return rows.token_ids if prompts.is_batch else rows.token_ids[0]


def generate_stream(
    model: nn.Module,
    prompt_ids: Prompt,
    max_new_tokens: int,
    sampling: Sampling | None = None,
    *,
    stopping: Stopping | None = None,
    pad_token: int = 0,
    seed: int | Sequence[int] | None = None,
    generator: torch.Generator | None = None,
    use_cache: bool = True,
    log_probs: bool = True,
) -> Generator[Step]:
    """Continue `prompt_ids` token by token, each as soon as it is drawn; see `generate`.

    Arguments are checked at the call; the model is computed as the iterator is advanced, and is in
    evaluation mode from the first step until the iterator ends or is closed. Gradients are the
    caller's as before between the steps. Whoever has enough may stop asking.

    Args:
        model: as in `generate`.
        prompt_ids: as in `generate`.
        max_new_tokens: at most so many steps; fewer where every row has ended.
        sampling: how a token is chosen; by the model's own distribution if None.
        stopping: what ends a row; nothing if None.
        pad_token: stands in a step where a row had ended before.
        seed: as in `generate`.
        generator: as in `generate`.
        use_cache: as in `generate`.
        log_probs: whether each step tells them; without, a pass over the logits is saved.

    Yields:
        One `Step` for each token.

    Raises:
        ValueError: as in `generate`.
    """
    prompts = _read_prompts(model, prompt_ids)
    return _stream(
        model,
        prompts,
        max_new_tokens,
        sampling or Sampling(),
        stopping=stopping or Stopping(),
        pad_token=pad_token,
        streams=row_streams(len(prompts.starts), prompts.token_ids.device, seed, generator),
        use_cache=use_cache,
        log_probs=log_probs,
    )


def _stream(
    model: nn.Module,
    prompts: Prompts,
    max_new_tokens: int,
    sampling: Sampling,
    *,
    stopping: Stopping,
    pad_token: int,
    streams: RowStreams,
    use_cache: bool,
    log_probs: bool,
) -> Generator[Step]:
    """Check what is left to check, and begin."""
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens must be at least 0, got {max_new_tokens}")
    vocab_size = _config(model).vocab_size
    if not 0 <= pad_token < vocab_size:
        raise ValueError(f"pad_token must be in the vocabulary of {vocab_size}, got {pad_token}")
    rows = _Rows(
        prompts,
        sampling,
        StopFinder(
            stopping,
            rows=len(prompts.starts),
            vocab_size=vocab_size,
            device=prompts.token_ids.device,
        ),
        streams,
        pad_token=pad_token,
        vocab_size=vocab_size,
        log_probs=log_probs,
    )
    return _steps(model, prompts, rows, max_new_tokens, use_cache)


def _steps(
    model: nn.Module, prompts: Prompts, rows: "_Rows", max_new_tokens: int, use_cache: bool
) -> Generator[Step]:
    with eval_mode(model):
        one_more = _fast_step(model, len(prompts.starts), max_new_tokens) if use_cache else None
        window = DecodingWindow(model, prompts, use_cache=use_cache, one_more=one_more)
        for _ in range(max_new_tokens):
            with torch.no_grad():  # not around the yield, where it would be the caller's too
                step = rows.extend(window.next_logits(rows.tokens))
            yield step
            if rows.have_all_ended():
                return


def _fast_step(model: nn.Module, rows: int, max_new_tokens: int) -> DecodingStep | None:
    """A step from a copy of the weights, where the tokens are enough to pay for the copy."""
    weight = next(model.parameters())
    is_worthwhile = max_new_tokens >= _TOKENS_TO_COPY and weight.device.type == "cpu"
    if is_worthwhile and isinstance(model, TransformerLM) and can_step(model):
        return DecodingStep(model, rows)
    return None


class _Rows:
    """The rows as they grow: what stands in them, which have ended, what is drawn next."""

    def __init__(
        self,
        prompts: Prompts,
        sampling: Sampling,
        stops: StopFinder,
        streams: RowStreams,
        *,
        pad_token: int,
        vocab_size: int,
        log_probs: bool,
    ) -> None:
        self.tokens = TokenRows(prompts.token_ids)
        device = prompts.token_ids.device
        self.has_ended = torch.zeros(len(streams), dtype=torch.bool, device=device)
        self._sampling, self._stops, self._streams = sampling, stops, streams
        self._pad_token, self._log_probs = pad_token, log_probs
        self._seen = None if sampling.repetition_penalty == 1 else prompts.seen(vocab_size)

    def extend(self, logits: Float[Tensor, "batch vocab_size"]) -> Step:
        """Draw a token for each row."""
        logits = logits.float()
        # At temperature 0 nothing is left to chance.
        uniforms = self._streams.next_uniforms() if self._sampling.temperature else None
        token_ids = draw(logits, self._sampling, uniforms, self._seen)
        is_new = ~self.has_ended
        if self._stops:
            token_ids = token_ids.where(is_new, self._pad_token)
        self.tokens.append(token_ids)
        if self._seen is not None:
            self._seen.scatter_(1, token_ids[:, None], True)
        if self._stops:
            self.has_ended = self.has_ended | self._stops.ends(token_ids)
        log_probs = None
        if self._log_probs:
            chosen = logits.gather(1, token_ids[:, None]).squeeze(1)
            log_probs = (chosen - logits.logsumexp(dim=1)).where(is_new, 0.0)
        return Step(token_ids.clone(), log_probs, is_new)  # a copy: the caller may write into it

    def have_all_ended(self) -> bool:
        """Whether nothing is left to write. Asked only where rows may end: a GPU is waited for."""
        return bool(self._stops) and bool(self.has_ended.all())


def _config(model: nn.Module) -> TransformerConfig:
    return cast(TransformerConfig, unwrap(model).config)


def _read_prompts(model: nn.Module, prompt_ids: Prompt) -> Prompts:
    config = _config(model)
    return read_prompts(
        prompt_ids,
        vocab_size=config.vocab_size,
        context_length=config.context_length,
        device=next(model.parameters()).device,
    )


def _default_pad_token(prompts: Prompts, stopping: Stopping) -> int:
    """The first stop token; any, where nothing is to be filled up."""
    if stopping.tokens:
        return stopping.tokens[0]
    batch = len(prompts.starts)
    if any(prompts.starts) or (stopping.sequences and batch > 1):
        raise ValueError(
            f"{batch} rows that differ in length must be filled up, and no stop_token says with "
            "what: give pad_token, or take the rows from generate_stream"
        )
    return 0
