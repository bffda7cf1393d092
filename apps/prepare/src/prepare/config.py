"""What `prepare` can be told."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

# What `--help` shows: a screen of it, and of the cluster's flags those that divide the work.
USUAL = (
    *("preset", "input", "valid", "vocab_size", "out", "special_tokens", "stories_bytes", "seed"),
    *("executor", "tasks", "workers", "status"),
)


@dataclass(frozen=True)
class ClusterConfig:
    """Many processes or machines instead of this process; needs the extra prepare-app[cluster]."""

    executor: Literal["local", "slurm", "ray"] | None = None
    """What does the work: None, this process alone; local, processes of this machine; slurm, jobs
    that are submitted; ray, a Ray cluster. Other machines must see DIR and the text under the same
    paths. The result is the same, in token files train-00000.npy, train-00001.npy, ..., one a
    share."""
    tasks: int = 1
    """Shares that the training text is cut into, at most: each is counted and encoded at once."""
    workers: int = 1
    """Tasks that run at the same time."""
    threads: int = 1
    """Threads of a task."""
    max_memory_bytes: int | None = None
    """The most memory for a task's counts of pretokens, in bytes; more go to its disk, in TMPDIR,
    where shares that are gzipped or on another machine are copied to as well. Learning alone holds
    all pretokens of the text, see min_count."""
    bad_documents: Literal["fail", "skip"] = "fail"
    """What to do with a document that is not UTF-8 (or no JSON with a text, in .jsonl), or too
    long: fail the task, or skip the document, which the manifest then names."""
    max_document_bytes: int = 100_000_000
    """A longer document is bad, in bytes; a task may hold one in memory a few times."""
    partition: str | None = None
    """Slurm: where jobs go."""
    time_limit: str = "24:00:00"
    """Slurm: the most time a task may take."""
    memory_gb: int = 4
    """Slurm and Ray: memory of a task, in GiB."""
    status: str | None = None
    """Tells how far the run in this directory is, and does nothing else."""


@dataclass(frozen=True)
class PrepareConfig:
    """Corpus to tokenizer and token files.

    Writes tokenizer.json, train.npy and valid.npy; a .json beside each .npy says what it holds.
    """

    preset: str = "stories"
    """Defaults to start from: stories, tinystories (10,000 entries), openwebtext (32,000)."""
    input: tuple[str, ...] = ("stories",)
    """Training text: files (.txt, .jsonl, .ndjson, each also as .gz or .zst; .parquet), or the
    name of a known corpus: stories is made on the spot, tinystories and openwebtext are fetched
    from the Hugging Face Hub. With --executor also directories, patterns ('data/*.parquet'), URLs
    (s3://bucket/text, hf://datasets/OWNER/NAME) and WARC files of text (.warc.wet.gz)."""
    valid: str | None = None
    """Validation text: a file, or what --input takes. A known corpus brings its own."""
    vocab_size: int = 2048
    """Entries of the vocabulary, at most, special tokens and the 256 bytes included."""
    min_count: int = 1
    """A pretoken that occurs less often has no part in learning the vocabulary. 1 is exact; 2
    leaves out more than half of the distinct ones of text from the web, and so of the memory that
    learning takes."""
    out: str | Path | None = None
    """Directory to write, data/PRESET if not given; files of the same names in it are replaced.
    With --executor also a URL, as the text then may be: s3://bucket/run."""
    special_tokens: tuple[str, ...] = ("<|endoftext|>",)
    """Texts that are one token each; the first one ends a document."""
    stories_bytes: int = 10_000_000
    """Size of the training stories, in bytes; a twentieth of it more is made for validation."""
    seed: int = 0
    """Seed of the stories."""
    cluster: Annotated[ClusterConfig, arg(name="")] = field(default_factory=ClusterConfig)
    """How the work is divided."""

    @property
    def directory(self) -> Path:
        """Where the files go."""
        return Path(self.out or Path("data") / self.preset)

    @property
    def url(self) -> str:
        """The same for `prepare.cluster`: a URL, or an absolute path."""
        return str(self.out) if is_url(str(self.out)) else str(self.directory.absolute())


def is_url(name: str) -> bool:
    """Whether a name is that of a place on another machine, rather than of a file."""
    return "://" in name
