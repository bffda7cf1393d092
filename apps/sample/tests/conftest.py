"""What the tests of `sample` share: runs of models that are drawn at random, not trained."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from nnparts import TransformerConfig, TransformerLM
from tok import Tokenizer
from trainkit import CheckpointManager

END = "<|endoftext|>"
MERGES = [(b"t", b"h"), (b"th", b"e"), (b" ", b"the"), (b"o", b"n")]


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    tokens = [END.encode(), *(bytes([byte]) for byte in range(256)), *(a + b for a, b in MERGES)]
    return Tokenizer(dict(enumerate(tokens)), MERGES, [END])


@pytest.fixture(scope="session")
def make_run(tokenizer: Tokenizer) -> Callable[..., Path]:
    """Writes a run directory like `train`'s, but the model has learnt nothing."""

    def make(directory: Path, *, num_layers: int = 2, context_length: int = 64) -> Path:
        config = TransformerConfig(
            tokenizer.vocab_size, context_length, d_model=16, num_layers=num_layers, num_heads=2
        )
        model = TransformerLM(config, generator=torch.Generator().manual_seed(0))
        CheckpointManager(directory / "checkpoints").save(7, model)
        tokenizer.save(directory / "tokenizer.json")
        written = {"model": asdict(config), "tokenizer_hash": tokenizer.fingerprint}
        (directory / "config.json").write_text(json.dumps(written))
        return directory

    return make
