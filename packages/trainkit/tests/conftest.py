"""Fixtures: a run small enough for tests, and token files with their sidecars."""

import json
import runpy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnparts import TransformerConfig, TransformerLM
from trainkit import Metrics, Trainer

TINY_RUN = Path(__file__).with_name("tiny_run.py")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models lose by a second thread, and results depend on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_trainer() -> Callable[..., Trainer]:
    return runpy.run_path(str(TINY_RUN))["make_trainer"]


class StopAt:
    """A logger that ends the run at a step, as an exception would that nobody foresaw."""

    def __init__(self, step: int) -> None:
        self.step = step

    def log(self, step: int, metrics: Metrics) -> None:
        if step >= self.step:
            raise SystemExit

    def close(self) -> None:
        pass


@pytest.fixture
def stop_at() -> type[StopAt]:
    return StopAt


@pytest.fixture
def file_limit() -> Callable[[int], AbstractContextManager[None]]:
    """A full disk: the kernel takes what fits of a write, and refuses the next (RLIMIT_FSIZE)."""
    resource = pytest.importorskip("resource", reason="the kernel's limits are POSIX's")

    @contextmanager
    def limited(file_bytes: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


@pytest.fixture
def make_model() -> Callable[..., TransformerLM]:
    def make(seed: int = 0, **changes: Any) -> TransformerLM:
        fields = {"vocab_size": 17, "context_length": 8, "d_model": 16, "num_layers": 2}
        config = TransformerConfig(**(fields | {"num_heads": 2, "d_ff": 32} | changes))
        return TransformerLM(config, generator=torch.Generator().manual_seed(seed))

    return make


@pytest.fixture
def write_tokens(tmp_path: Path) -> Callable[..., Path]:
    """Writes `tmp_path/name` and its sidecar, whose fields may be changed; None leaves one out."""

    def write(tokens: np.ndarray, name: str = "data.npy", **changes: object) -> Path:
        path = tmp_path / name
        np.save(path, tokens)
        fields = {
            "format": "groundup-tokens",
            "version": 1,
            "dtype": tokens.dtype.name,
            "token_count": len(tokens),
            "byte_count": 4 * len(tokens),
            "document_count": 1,
            "vocab_size": 17,
            "tokenizer_hash": "abc",
            "source": ["text.txt"],
            "extra": {"entropy": 0.5},
        } | changes
        content = {key: value for key, value in fields.items() if value is not None}
        path.with_suffix(".json").write_text(json.dumps(content))
        return path

    return write
