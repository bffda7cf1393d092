"""One peer, trained for some minutes of wall time and measured on the whole of the validation text.

    python peers.py NAME --data DIR --text FILE FILE --minutes 3 [--seed 0]

Prints a line of JSON. The clock starts before the model is made and includes compiling; the
learning rate follows the clock, so that every recipe comes to its end in time. Reading the text,
importing and the measuring at the end don't count.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from prepare.presets import read_preset
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from train.config import RunConfig
from trainkit import TokenDataset, evaluate, make_optimizer, precision_context
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM


@dataclass(frozen=True)
class Recipe:
    """How a peer is trained."""

    about: str
    build: Callable[[int], nn.Module]
    context_length: int = 256
    batch_size: int = 32
    lr: float = 1e-3
    min_lr: float = 1e-4
    warmup: float = 0.05
    """Share of the time in which the learning rate rises."""
    is_linear: bool = False
    beta2: float = 0.95
    ours: RunConfig | None = None
    """What gives it our optimizer and order of windows; None: AdamW, and windows at random."""
    compiled: bool = False
    precision: str = "fp32"
    characters: bool = False


def llama(vocab_size: int) -> nn.Module:
    """A Llama of 5.3 M parameters: of the tales preset's width and depth, with eight heads."""
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=8,
        max_position_embeddings=256,
        attn_implementation="sdpa",
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
    )
    return LlamaForCausalLM(config)


def character_gpt(vocab_size: int) -> nn.Module:
    """The model of nanoGPT's recipe for a laptop: 0.8 M parameters over characters."""
    config = GPT2Config(
        vocab_size=vocab_size,
        n_positions=64,
        n_embd=128,
        n_layer=4,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
    )
    return GPT2LMHeadModel(config)


TALES = read_preset(RunConfig, "train", "tales")
DEFAULT = Recipe("Llama, AdamW 1e-3, cosine, batch 32, fp32, eager", llama)
RECIPES = {
    "llama": DEFAULT,
    "llama-best": replace(DEFAULT, about="the same, compiled, bf16 where fast", compiled=True),
    "llama-small": Recipe(
        "Llama, compiled, bf16 where fast, AdamW 2e-3, linear decay, batch 8",
        llama,
        batch_size=8,
        lr=2e-3,
        min_lr=0.0,
        is_linear=True,
        compiled=True,
    ),
    "llama-ours": Recipe(
        "Llama, compiled, bf16 where fast, with our order, batch, schedule, optimizer and rates",
        llama,
        context_length=TALES.model.context_length,
        batch_size=TALES.training.batch_size,
        lr=TALES.training.max_lr,
        min_lr=TALES.training.min_lr,
        is_linear=TALES.training.schedule == "linear",
        ours=TALES,
        compiled=True,
    ),
    "characters": Recipe(
        "nanoGPT's recipe for a CPU: characters, 4 layers, d_model 128, context 64, batch 12",
        character_gpt,
        context_length=64,
        batch_size=12,
        beta2=0.99,
        characters=True,
    ),
}


class Logits(nn.Module):
    """A model of `transformers` that gives its logits alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, token_ids: Tensor) -> Tensor:
        """`(batch, seq)` to `(batch, seq, vocab_size)`."""
        return self.model(token_ids, use_cache=False).logits


def loss_of(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of `(batch, context_length)` tokens."""
    return cross_entropy(model(inputs).flatten(0, 1).float(), targets.flatten())


def optimizer_for(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW, or what the preset has."""
    if recipe.ours is not None:
        return make_optimizer(model, recipe.ours.training)
    betas = (0.9, recipe.beta2)
    return torch.optim.AdamW(model.parameters(), betas=betas, weight_decay=0.1, fused=True)


def lr_at(recipe: Recipe, share: float) -> float:
    """The learning rate when `share` of the time is over."""
    if share < recipe.warmup:
        return recipe.lr * max(share / recipe.warmup, 0.01)
    left = 1 - min((share - recipe.warmup) / (1 - recipe.warmup), 1.0)
    height = left if recipe.is_linear else 0.5 * (1 - math.cos(math.pi * left))
    return recipe.min_lr + (recipe.lr - recipe.min_lr) * height


def trained(
    recipe: Recipe, data: TokenDataset, vocab_size: int, *, minutes: float, seed: int
) -> tuple[Logits, int]:
    """The model when the time is over, and the updates that it had."""
    torch.manual_seed(seed)
    begun = time.perf_counter()
    model = Logits(recipe.build(vocab_size))
    optimizer = optimizer_for(model, recipe)
    loss_function = torch.compile(loss_of) if recipe.compiled else loss_of
    updates = 0
    while (share := (time.perf_counter() - begun) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = group.get("lr_scale", 1.0) * lr_at(recipe, share)
        batch = data.batch(seed, updates, recipe.batch_size, recipe.context_length, "cpu")
        optimizer.zero_grad()
        with precision_context(recipe.precision, "cpu"):
            loss_function(model, batch.inputs, batch.targets).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        updates += 1
    return model, updates


def bf16_is_fast() -> bool:
    """Whether a product of 512 x 512 takes less time in bf16."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.randn(512, 512, dtype=dtype)
        times = []
        for _ in range(3):
            begun = time.perf_counter()
            matrix @ matrix
            times.append(time.perf_counter() - begun)
        seconds[dtype] = min(times)
    return seconds[torch.bfloat16] < seconds[torch.float32]


def write_characters(texts: list[Path], folder: Path) -> None:
    """Writes train.npy and valid.npy, whose ids are numbers of characters."""
    folder.mkdir(exist_ok=True)
    read = [path.read_text("utf-8") for path in texts]
    alphabet = {character: number for number, character in enumerate(sorted(set("".join(read))))}
    for name, text in zip(("train", "valid"), read, strict=True):
        ids = np.array([alphabet[character] for character in text], np.uint16)
        np.save(folder / f"{name}.npy", ids)


def main() -> None:
    """Train a peer and print what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--data", type=Path, required=True, help="what `prepare` wrote")
    parser.add_argument("--text", type=Path, nargs=2, required=True, help="train and valid")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    recipe = RECIPES[options.name]
    if options.name != "llama" and not recipe.characters and bf16_is_fast():
        recipe = replace(recipe, precision="bf16")
    folder = options.data / "characters" if recipe.characters else options.data
    if recipe.characters:
        write_characters(options.text, folder)
    order = "random" if recipe.ours is None else recipe.ours.order
    train = TokenDataset(folder / "train.npy", order=order)
    valid = TokenDataset(folder / "valid.npy")
    vocab_size = int(max(train.tokens.max(), valid.tokens.max())) + 1
    width = options.text[1].stat().st_size / len(valid)
    model, updates = trained(recipe, train, vocab_size, minutes=options.minutes, seed=options.seed)
    result = evaluate(
        model,
        valid,
        context_length=recipe.context_length,
        batch_size=16,
        device="cpu",
        stride=recipe.context_length // 2,
    )
    found = {
        "about": recipe.about,
        "precision": recipe.precision,
        "updates": updates,
        "tokens": updates * recipe.batch_size * recipe.context_length,
        "bits_per_byte": result.loss / math.log(2) / width,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
