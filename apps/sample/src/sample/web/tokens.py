"""A text as its tokens, in colours."""

from collections.abc import Sequence
from html import escape
from itertools import chain

from tok import Tokenizer, visible

_COLORS = 5  # of the page's stylesheet, taken in turn: neighbours differ


def tokens_html(tokenizer: Tokenizer, token_ids: Sequence[int], place: int) -> str:
    """The tokens as HTML, and after them the place where the next one will stand.

    Each has its number as `data-place`, and `data-detail`, what is told of it on hover. What is
    told of the token at `place`, which is marked, stands below.
    """
    details = [describe(tokenizer, token_ids, at) for at in range(len(token_ids) + 1)]
    special = set(tokenizer.special_tokens.values())
    classes = (
        f"token {'special' if token_id in special else f'color-{at % _COLORS}'}"
        for at, token_id in enumerate(token_ids)
    )
    texts = (visible(tokenizer.token_bytes(token_id)) for token_id in token_ids)
    spans = (
        f'<span class="{name}{" chosen" if at == place else ""}" data-place="{at}"'
        f' data-detail="{escape(detail)}">{escape(text)}</span>'
        for at, (name, text, detail) in enumerate(
            zip(chain(classes, ["token next"]), chain(texts, ["\u2009"]), details, strict=True)
        )
    )
    return (
        f'<div class="tokens" dir="auto">{"".join(spans)}</div>'
        f'<p class="detail">{escape(details[place])}</p>'
    )


def describe(tokenizer: Tokenizer, token_ids: Sequence[int], place: int) -> str:
    """What there is to say of the token at `place`: its number, its id, its bytes."""
    if place == len(token_ids):
        return f"{place} tokens; the next one is still to come"
    token = tokenizer.token_bytes(token_ids[place])
    return f"token {place} \u00b7 id {token_ids[place]} \u00b7 bytes {token.hex(' ')}"
