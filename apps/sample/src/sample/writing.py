"""Text from a model: prompt to ids, ids to ids, ids to text."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing

from nnparts import TransformerLM
from tok import Tokenizer
from trainkit import Sampling, Stopping, generate_stream

from sample.growing_text import GrowingText

DOCUMENT_END = "<|endoftext|>"


def write(
    model: TransformerLM,
    tokenizer: Tokenizer,
    prompt: str,
    *,
    max_new_tokens: int = 256,
    temperature: float = 0.8,
    top_p: float | None = 0.95,
    top_k: int | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    stop: Sequence[str] = (),
    seed: int = 0,
    num_samples: int = 1,
    on_text: Callable[[str], None] | None = None,
) -> list[str]:
    """Continues `prompt` `num_samples` times; each text begins with the prompt.

    The same as `write_stream`, put together. `on_text` is called with the pieces of the first text
    as they are written.

    Raises:
        ValueError: As `write_stream`.
    """
    texts = [""] * num_samples
    for pieces in write_stream(
        model,
        tokenizer,
        prompt,
        Sampling(temperature, top_k, top_p, min_p, repetition_penalty),
        max_new_tokens=max_new_tokens,
        stop=stop,
        seed=seed,
        num_samples=num_samples,
    ):
        texts = [text + piece for text, piece in zip(texts, pieces, strict=True)]
        if on_text is not None:
            on_text(pieces[0])
    return texts


def write_stream(
    model: TransformerLM,
    tokenizer: Tokenizer,
    prompt: str,
    sampling: Sampling,
    *,
    max_new_tokens: int = 256,
    stop: Sequence[str] = (),
    seed: int = 0,
    num_samples: int = 1,
) -> Generator[list[str]]:
    """Continues `prompt` `num_samples` times, and gives each text's next piece as it is written.

    A text ends before the next `<|endoftext|>`, or before the first of the texts `stop` in what is
    new. Whoever has enough closes the generator: then the model computes no more.

    Yields:
        For each token the pieces that it adds, one a text and many of them empty; the last ones
        are what was held back. Joined they are the texts, the prompt at their beginning.

    Raises:
        ValueError: A prompt longer than the model's context, or a knob out of range.
    """
    end_token = tokenizer.special_tokens.get(DOCUMENT_END)
    token_ids = prompt_ids(tokenizer, prompt)
    if not token_ids:
        raise ValueError(
            "this tokenizer has no <|endoftext|> to begin a document with: give a prompt"
        )
    texts = [
        GrowingText(tokenizer, prompt, end_token=end_token, stop=stop) for _ in range(num_samples)
    ]
    steps = generate_stream(
        model,
        [token_ids] * num_samples,
        max_new_tokens,
        sampling,
        stopping=Stopping([] if end_token is None else [end_token]),
        seed=seed,
        log_probs=False,
    )
    with closing(steps):
        for step in steps:
            yield [
                text.feed(token_id)
                for text, token_id in zip(texts, step.token_ids.tolist(), strict=True)
            ]
            if all(text.has_ended for text in texts):
                break
    yield [text.finish() for text in texts]


def prompt_ids(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """What the model sees of a prompt: the beginning of a document.

    It stands after the end of another one, which in our corpora is a line that holds only
    `<|endoftext|>`, if the tokenizer knows that token. Nothing in the prompt itself becomes a
    special token.

    Raises:
        ValueError: A lone surrogate in the prompt.
    """
    has_end = DOCUMENT_END in tokenizer.special_tokens
    before = tokenizer.encode(f"{DOCUMENT_END}\n") if has_end else []
    return before + tokenizer.encode_spans([(prompt, False)])
