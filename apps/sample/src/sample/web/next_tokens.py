"""What a model expects at one place of a text, and what sampling makes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import torch
from jaxtyping import Float
from nnparts import TransformerLM
from tok import Tokenizer, visible
from torch import Tensor
from trainkit import Sampling, next_token_probs


@dataclass(frozen=True)
class NextToken:
    """A token that may come next.

    Attributes:
        rank: 1 for the model's likeliest.
        token_id: which it is.
        prob: P(token | all before it in view) by the model itself.
        drawn_prob: its probability when one is drawn; 0 where the sampling cuts it off.
    """

    rank: int
    token_id: int
    prob: float
    drawn_prob: float


def next_tokens(
    model: TransformerLM,
    token_ids: Sequence[int],
    sampling: Sampling,
    *,
    count: int = 10,
    actual: int | None = None,
) -> list[NextToken]:
    """The `count` likeliest to follow `token_ids`, likeliest first; and `actual` in any case.

    The model sees the last `context_length` tokens.

    Raises:
        ValueError: There are no tokens for it to follow.
    """
    if not token_ids:
        raise ValueError("nothing comes before this token, so nothing is expected in its place")
    logits = _last_logits(model, token_ids)
    probs = logits.softmax(dim=-1)
    seen = torch.zeros_like(logits, dtype=torch.bool)
    seen[torch.tensor(token_ids, device=logits.device)] = True
    drawn_probs = next_token_probs(logits, sampling, seen)
    order = probs.argsort(descending=True, stable=True).tolist()
    chosen = order[:count]
    if actual is not None and actual not in chosen:
        chosen.append(actual)
    return [
        NextToken(order.index(i) + 1, i, float(probs[i]), float(drawn_probs[i])) for i in chosen
    ]


@torch.no_grad()
def _last_logits(model: TransformerLM, token_ids: Sequence[int]) -> Float[Tensor, " vocab_size"]:
    device = next(model.parameters()).device
    seen = list(token_ids[-model.config.context_length :])
    return model(torch.tensor([seen], device=device))[0, -1].float()


def next_tokens_html(
    tokenizer: Tokenizer, tokens: Sequence[NextToken], actual: int | None = None
) -> str:
    """The tokens as an HTML table with a bar each: pale the model's own, full what is drawn from.

    The row of `actual`, which stands in the text, is marked.
    """
    rows = "".join(_row(tokenizer, token, is_actual=token.token_id == actual) for token in tokens)
    return (
        '<table class="next-tokens"><thead><tr><th></th><th>token</th><th class="bars"></th>'
        '<th title="by the model itself">model</th>'
        '<th title="after the knobs: what is drawn from">drawn</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _row(tokenizer: Tokenizer, token: NextToken, *, is_actual: bool) -> str:
    raw = tokenizer.token_bytes(token.token_id)
    marked = ' class="actual"' if is_actual else ""
    return (
        f"<tr{marked}><td>{token.rank}</td>"
        f'<td><code title="id {token.token_id}, bytes {raw.hex(" ")}">'
        f"{escape(visible(raw).removesuffix(chr(10)))}</code></td>"
        f'<td class="bars">{_bar("own", token.prob)}{_bar("drawn", token.drawn_prob)}</td>'
        f"<td>{percent(token.prob)}</td><td>{percent(token.drawn_prob)}</td></tr>"
    )


def _bar(name: str, prob: float) -> str:
    return f'<i class="{name}" style="width: {100 * prob:.2f}%"></i>'


def percent(prob: float) -> str:
    """Two digits or so: 38 %, 4.1 %, 0.27 %; a dash for nothing, and never 0 for a little."""
    if prob == 0:
        return "\u2013"
    if prob < 0.0001:
        return "<\u202f0.01\u202f%"
    digits = 0 if prob >= 0.0995 else 1 if prob >= 0.00995 else 2
    return f"{100 * prob:.{digits}f}\u202f%"
