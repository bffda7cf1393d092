"""Where text comes from: files of the user's, stories made on the spot, corpora from the Hub."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from prepare.cluster.cut import is_warc
from prepare.config import PrepareConfig
from prepare.stories import Story, tell_stories

DOCUMENT_END = "<|endoftext|>"

# Repository, training file, validation file: the corpora of Stanford's CS336.
HUB_CORPORA = {
    "tinystories": (
        "roneneldan/TinyStories",
        "TinyStoriesV2-GPT4-train.txt",
        "TinyStoriesV2-GPT4-valid.txt",
    ),
    "openwebtext": ("stanford-cs336/owt-sample", "owt_train.txt.gz", "owt_valid.txt.gz"),
}

KNOWN_CORPORA = {"stories", *HUB_CORPORA}


@dataclass(frozen=True)
class Corpus:
    """Files of training and validation text, and what is known about them beforehand."""

    train: tuple[Path, ...]
    valid: tuple[Path, ...]
    valid_extra: dict[str, float] = field(default_factory=dict)
    """For the sidecar of the validation tokens: `source_nats`, -ln P(text) under its source."""


def find_corpus(config: PrepareConfig, workspace: Path) -> Corpus:
    """Finds, makes or fetches what `config.input` and `config.valid` name.

    Args:
        config: What was asked for.
        workspace: An existing directory for text that is made on the spot.

    Raises:
        ValueError: A known corpus beside other inputs, or files without `--valid`.
        FileNotFoundError: A file that is not there.
        OSError: A corpus that could not be fetched.
    """
    known = KNOWN_CORPORA & set(config.input)
    if not known:
        return _local_corpus(config)
    if len(config.input) > 1 or config.valid is not None:
        raise ValueError(
            f"the corpus {known.pop()} brings its own validation text and stands alone, got"
            f" --input {' '.join(config.input)} --valid {config.valid}"
        )
    name = known.pop()
    return _write_stories(config, workspace) if name == "stories" else _fetch(name)


def named_files(config: PrepareConfig) -> tuple[str, ...]:
    """The names of the training files and, last, of the one to validate with.

    Raises:
        ValueError: there is no such.
    """
    if config.valid is None:
        raise ValueError(
            "validation text is needed beside the training files: name a file of text that the"
            " model is not trained on with --valid FILE"
        )
    return *config.input, config.valid


def _local_corpus(config: PrepareConfig) -> Corpus:
    paths = [Path(name) for name in named_files(config)]
    for path in paths:
        if is_warc(path.name):
            raise ValueError(f"{path} is read with --executor local, slurm or ray alone")
        if not path.is_file():
            raise FileNotFoundError(
                f"no file {path}; --input and --valid take files, or one of the corpora"
                f" stories, {', '.join(HUB_CORPORA)}"
            )
    return Corpus(tuple(paths[:-1]), (paths[-1],))


def _write_stories(config: PrepareConfig, directory: Path) -> Corpus:
    train, valid = directory / "train.txt", directory / "valid.txt"
    _write_documents(train, f"{config.seed}/train", config.stories_bytes)
    nats = _write_documents(valid, f"{config.seed}/valid", config.stories_bytes // 20)
    return Corpus((train,), (valid,), {"source_nats": nats})


def _write_documents(path: Path, seed: str, at_least_bytes: int) -> float:
    """Writes whole stories until the file holds `at_least_bytes`; returns their nats."""
    nats = 0.0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for story in _stories_of_size(seed, at_least_bytes):
            nats += story.nats
            file.write(f"{story.text}\n{DOCUMENT_END}\n")
    return nats


def _stories_of_size(seed: str, at_least_bytes: int) -> Iterator[Story]:
    written = 0
    for story in tell_stories(seed):
        yield story
        written += len(story.text) + len(DOCUMENT_END) + 2  # the stories are ASCII
        if written >= at_least_bytes:
            return


def _fetch(name: str) -> Corpus:
    # Here, as it takes a quarter of a second, and each task of `prepare.cluster` is a process.
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    repository, *names = HUB_CORPORA[name]
    try:
        train, valid = (
            Path(hf_hub_download(repository, file, repo_type="dataset")) for file in names
        )
    except (EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise OSError(
            f"could not fetch {name} ({repository}) from the Hugging Face Hub: {error}. Check the"
            " network and HF_ENDPOINT, or give files you have with --input and --valid"
        ) from error
    return Corpus((train,), (valid,))
