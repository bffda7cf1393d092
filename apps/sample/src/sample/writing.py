"""Text from a model: prompt to ids, ids to ids, ids to text."""

from collections.abc import Callable, Sequence
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

    The model sees the prompt as the beginning of a document: after the end of another one, which
    in our corpora is a line that holds only `<|endoftext|>`, if the tokenizer knows that token.
    A text ends before the next such token, or before the first of the texts `stop` in what is
    new. `on_text` is called with the pieces of the first text as they are written.

    Raises:
        ValueError: A prompt longer than the model's context, or a knob out of range.
    """
    end_token = tokenizer.special_tokens.get(DOCUMENT_END)
    before = tokenizer.encode(f"{DOCUMENT_END}\n") if end_token is not None else []
    prompt_ids = before + tokenizer.encode(prompt, allowed_special=set(), disallowed_special=())
    if not prompt_ids:
        raise ValueError(
            "this tokenizer has no <|endoftext|> to begin a document with: give a prompt"
        )
    texts = [
        GrowingText(tokenizer, prompt, end_token=end_token, stop=stop) for _ in range(num_samples)
    ]
    steps = generate_stream(
        model,
        [prompt_ids] * num_samples,
        max_new_tokens,
        Sampling(temperature, top_k, top_p, min_p, repetition_penalty),
        stopping=Stopping([] if end_token is None else [end_token]),
        seed=seed,
    )
    show = on_text or (lambda _: None)
    with closing(steps):
        for step in steps:
            pieces = [
                text.feed(token_id)
                for text, token_id in zip(texts, step.token_ids.tolist(), strict=True)
            ]
            show(pieces[0])
            if all(text.has_ended for text in texts):
                break
    pieces = [text.finish() for text in texts]
    show(pieces[0])
    return [text.text for text in texts]
