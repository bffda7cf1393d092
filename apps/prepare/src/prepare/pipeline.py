"""The three steps of `prepare`: find text, learn a vocabulary, encode."""

import importlib
import os
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from tok import Tokenizer

from prepare.config import PrepareConfig, is_url
from prepare.sources import Corpus, find_corpus

Report = Callable[[str], None]


def prepare(config: PrepareConfig, report: Report = lambda line: None) -> Path:
    """Makes the tokenizer and token files of `config` and returns their directory.

    All files are made in a directory beside the final one and moved when every one is whole, so
    that a run that fails or is killed leaves what was there before. With `config.cluster.executor`
    many processes do the work, and the same call goes on where a run of them ended.

    Args:
        config: What to make.
        report: Called with a line about each step.

    Raises:
        ValueError: Text that is empty or not UTF-8, a vocabulary size too small, and the other
            refusals of `find_corpus` and of `tok.Tokenizer.train`.
        OSError: A file that is missing or can't be read or written.
    """
    directory = config.directory
    if config.cluster.executor:
        cluster = import_cluster("run")
        with _naming_the_extra(config.cluster.executor):  # "ray" has one of its own
            cluster.run(config, report)
        return directory
    if is_url(str(config.out)):
        raise ValueError(f"{config.out} is written with --executor local, slurm or ray alone")
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=directory) as partial:
        _make(config, Path(partial), report)
        for path in sorted(Path(partial).iterdir()):
            os.replace(path, directory / path.name)
    return directory


def import_cluster(name: str) -> ModuleType:
    """A module of `prepare.cluster`, which does the work on many processes.

    Raises:
        ValueError: what it needs is not installed.
    """
    with _naming_the_extra("cluster"):
        return importlib.import_module(f"prepare.cluster.{name}")


@contextmanager
def _naming_the_extra(name: str) -> Generator[None, None, None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise ValueError(
            f"--executor and --status need {error.name}, which is not installed: it comes with the"
            f" extra {name}, pip install 'prepare-app[{name}]'"
        ) from None


def _make(config: PrepareConfig, directory: Path, report: Report) -> None:
    corpus = find_corpus(config, directory)
    report(f"text        {_describe(corpus)}")
    tokenizer = Tokenizer.train(
        corpus.train, config.vocab_size, config.special_tokens, min_count=config.min_count
    )
    tokenizer.save(directory / "tokenizer.json")
    report(f"vocabulary  {len(tokenizer):,} entries, {len(tokenizer.merges):,} merges")
    for part, paths, extra in (
        ("train", corpus.train, {}),
        ("valid", corpus.valid, corpus.valid_extra),
    ):
        info = tokenizer.encode_file(paths, directory / f"{part}.npy", extra=extra)
        ratio = info.byte_count / info.token_count
        report(f"{part:<12}{info.token_count:,} tokens, {ratio:.2f} bytes each")


def _describe(corpus: Corpus) -> str:
    sizes = [sum(path.stat().st_size for path in paths) for paths in (corpus.train, corpus.valid)]
    return f"{sizes[0] / 1e6:,.1f} MB to train on, {sizes[1] / 1e6:,.1f} MB to validate with"
