"""What the tests of `prepare.cluster` share: made-up text, and runs in this process.

Their tasks are done one after the other; `test_cluster_engines.py` has real engines.
"""

import json
import random
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from prepare import PrepareConfig, prepare
from prepare.cluster import plan, run, stages
from prepare.cluster.folder import Folder
from prepare.cluster.task import Limits
from prepare.config import ClusterConfig

END = "<|endoftext|>"

separated = st.lists(st.sampled_from([b"a", b"\xff", b"ab", b"<", b"<e", b"<e>", b"\xc3\xb6"])).map(
    b"".join
)
"""Bytes with the separator "<e>", parts of it, and what is no UTF-8."""


def made_up_documents(seed: int, count: int) -> list[str]:
    """Documents of few words, so that merges are learned, and of very different length."""
    draw = random.Random(seed)
    words = ["owl", " night", "\n\n", " Öl", " 夜", " 2026", "'s", "  ", " the", " they're"]
    return ["".join(draw.choices(words, k=draw.choice([1, 5, 60]))) for _ in range(count)]


def write_text(path: Path, texts: list[str], separator: str = f"\n{END}\n") -> Path:
    path.write_bytes("".join(text + separator for text in texts).encode())
    return path


def write_rows(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    return path


def config_of(corpus: dict[str, Path], out: Path, **cluster: object) -> PrepareConfig:
    *train, valid = map(str, corpus.values())
    fields = {"executor": "local", "tasks": 3} | cluster
    return PrepareConfig(
        input=tuple(train),
        valid=valid,
        vocab_size=320,
        out=out,
        cluster=ClusterConfig(**fields),
    )


def one_process(corpus: dict[str, Path], out: Path) -> Path:
    return prepare(config_of(corpus, out, executor=None))


def plan_of(config: PrepareConfig) -> plan.Plan:
    return run.find_or_make_plan(config, Folder(str(config.directory)))


def run_all(config: PrepareConfig, *, backwards: bool = False) -> Path:
    """Does every task, and those of a stage in either order."""
    for stage in plan_of(config).stages:
        for rank in sorted(range(stage.tasks), reverse=backwards):
            run_stage(config, stage.name, rank)
    return config.directory


def run_stage(config: PrepareConfig, stage: str, rank: int, **limits: int) -> None:
    stages.run_task(str(config.directory), stage, rank, Limits(**limits))


def ids_of(directory: Path, part: str) -> np.ndarray:
    paths = sorted(directory.glob(f"{part}-*.npy")) or [directory / f"{part}.npy"]
    return np.concatenate([np.load(path) for path in paths])


def assert_same_result(ours: Path, theirs: Path) -> None:
    names = "tokenizer.json"
    assert (ours / names).read_bytes() == (theirs / names).read_bytes()
    for part in ("train", "valid"):
        np.testing.assert_array_equal(ids_of(ours, part), ids_of(theirs, part))
        assert ids_of(ours, part).dtype == ids_of(theirs, part).dtype


def files_of(directory: Path) -> dict[str, bytes]:
    """What the run gives: all files but those in which it keeps times."""
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
