"""Where each head of a trained model looks, in the beginning of one story.

    OMP_NUM_THREADS=1 uv run train --out runs/handbook --precision fp32 --compile off \
        --log-every 1 --keep-checkpoints-every 370
    uv run python docs/handbook/results/attention.py --run runs/handbook

The second command writes attention.json beside this file. The run is the default one, but for what
it logs and keeps, on one thread.
"""

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

import torch
from nnparts import MultiheadSelfAttention, TransformerLM
from nnparts.functional import softmax
from nnparts.masks import causal_mask
from sample import load_run
from shared import machine
from torch import Tensor

STORY = "Last summer, Tom's red crown was stuck in a pretty tree. Tom jumped, but the"


def attention_weights(attn: MultiheadSelfAttention, x: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(head_dim)) of every head, `(num_heads, seq, seq)`."""

    def heads(projected: Tensor) -> Tensor:
        return projected.unflatten(-1, (-1, attn.head_dim)).transpose(-3, -2)

    query, key = (attn.rope(heads(project(x))) for project in (attn.q_proj, attn.k_proj))
    scores = query @ key.transpose(-2, -1) / attn.head_dim**0.5
    weights = softmax(scores.masked_fill(~causal_mask(*scores.shape[-2:]), -torch.inf), dim=-1)
    mixed = (weights @ heads(attn.v_proj(x))).transpose(-3, -2).flatten(-2)
    torch.testing.assert_close(attn.output_proj(mixed), attn(x))  # it is what the model computes
    return weights


def weights_by_layer(model: TransformerLM, token_ids: Tensor) -> list[Tensor]:
    """`attention_weights` of every layer."""
    x, weights = model.token_embeddings(token_ids), []
    for layer in model.layers:
        weights.append(attention_weights(layer.attn, layer.ln1(x)))
        x = layer(x)
    return weights


def without_head(model: TransformerLM, token_ids: Tensor, next_id: int) -> list[list[float]]:
    """The probability of `next_id` where one head is silent, `[layer][head]`."""
    found = []
    for layer in model.layers:
        attn = layer.attn
        whole, probs = attn.output_proj.weight.clone(), []
        for columns in torch.arange(attn.num_heads * attn.head_dim).split(attn.head_dim):
            attn.output_proj.weight[:, columns] = 0
            probs.append(round(softmax(model(token_ids)[-1], dim=-1)[next_id].item(), 3))
            attn.output_proj.weight.copy_(whole)
        found.append(probs)
    return found


@torch.no_grad()
def measure(directory: Path) -> dict[str, Any]:
    """The story's tokens, which may come next, and `weights[layer][head][query][key]`.

    Keys after the query, whose weights are 0, are left out.
    """
    run = load_run(directory, torch.device("cpu"))
    model, tokenizer = run.model.eval(), run.tokenizer
    token_ids = torch.tensor(tokenizer.encode(STORY))
    probs, next_ids = softmax(model(token_ids)[-1], dim=-1).topk(3)
    likely = zip(next_ids.tolist(), probs.tolist(), strict=True)
    layers = weights_by_layer(model, token_ids)
    return {
        "tokens": [tokenizer.decode([token_id]) for token_id in token_ids.tolist()],
        "next": {tokenizer.decode([token_id]): round(prob, 3) for token_id, prob in likely},
        "without_head": without_head(model, token_ids, int(next_ids[0])),
        "weights": [
            [
                [[round(w, 3) for w in row[: i + 1]] for i, row in enumerate(head)]
                for head in layer.tolist()
            ]
            for layer in layers
        ],
    }


def main() -> None:
    """Measures, and writes the result."""
    parser = argparse.ArgumentParser(description="Write attention.json.")
    parser.add_argument("--run", type=Path, required=True, metavar="RUN")
    found = measure(parser.parse_args().run)
    origin = {
        "command": f"uv run python docs/handbook/results/{Path(__file__).name} --run runs/handbook",
        "date": date.today().isoformat(),
        "machine": machine(),
        "versions": {"torch": torch.__version__},
    }
    result = json.dumps(origin | found, ensure_ascii=False)
    Path(__file__).with_suffix(".json").write_text(f"{result}\n", "utf-8")


if __name__ == "__main__":
    main()
