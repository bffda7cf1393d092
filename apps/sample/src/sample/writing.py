"""Text from a model: prompt to ids, ids to ids, ids to text."""

from nnparts import TransformerLM
from tok import Tokenizer
from trainkit import generate

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
    seed: int = 0,
    num_samples: int = 1,
) -> list[str]:
    """Continues `prompt` `num_samples` times; each text begins with the prompt.

    The model sees the prompt as the beginning of a document: after the end of another one, which
    in our corpora is a line that holds only `<|endoftext|>`, if the tokenizer knows that token.
    A text ends before the next such token.

    Raises:
        ValueError: A prompt longer than the model's context, or a knob out of range.
    """
    stop = tokenizer.special_tokens.get(DOCUMENT_END)
    before = tokenizer.encode(f"{DOCUMENT_END}\n") if stop is not None else []
    prompt_ids = before + tokenizer.encode(prompt, allowed_special=set(), disallowed_special=())
    if not prompt_ids:
        raise ValueError(
            "this tokenizer has no <|endoftext|> to begin a document with: give a prompt"
        )
    rows = generate(
        model,
        [prompt_ids] * num_samples,
        max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        stop_token=stop,
        seed=seed,
    )
    return [_text(tokenizer, row[len(before) :], stop) for row in rows.tolist()]


def _text(tokenizer: Tokenizer, token_ids: list[int], stop: int | None) -> str:
    end = token_ids.index(stop) if stop in token_ids else len(token_ids)
    return tokenizer.decode(token_ids[:end]).strip("\n")
