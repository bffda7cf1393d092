"""Fixtures: token files small enough for tests, and the command `train` in this process."""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from prepare import PrepareConfig, prepare
from rich.console import Console
from train.__main__ import main
from train.command_line import read_command_line
from train.run import train

TINY = "--model.d-model 16 --model.num-layers 1 --model.num-heads 2 --model.context-length 32"
SHORT = "--batch-size 4 --eval-every 50 --checkpoint-every 10 --log-every 1 --eval-tokens 500"


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Tiny models lose by a second one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data") / "stories"
    return prepare(PrepareConfig(out=directory, stories_bytes=30_000, vocab_size=300))


@pytest.fixture(scope="session")
def tiny_flags(data) -> list[str]:
    """Of a small run whose execution is asked for, not measured."""
    asked = ["--data", str(data), "--precision", "fp32", "--compile", "off"]
    return [*asked, *TINY.split(), *SHORT.split()]


@pytest.fixture
def call(run_command) -> Callable[..., tuple[int, str]]:
    """Runs `train` with the flags given, in an empty directory; gives its exit code and words."""
    return partial(run_command, main)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory, tiny_flags) -> Path:
    """A run of 20 steps, with checkpoints of steps 10 and 20."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    train(read_command_line(["--out", str(directory), "--max-steps", "20", *tiny_flags]), Console())
    return directory


@pytest.fixture
def go_on(call, tmp_path, finished_run) -> Callable[..., tuple[int, str]]:
    """Goes on with that run, in a directory `run` of the test's own."""
    shutil.copytree(finished_run, tmp_path / "run")
    return lambda *flags: call("--resume", "--out", "run", *flags)
