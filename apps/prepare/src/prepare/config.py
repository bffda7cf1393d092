"""What `prepare` can be told."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PrepareConfig:
    """Corpus to tokenizer and token files.

    Writes DIR/tokenizer.json, DIR/train.npy and DIR/valid.npy, the last two with a .json beside
    them that says what they hold.
    """

    preset: str = "stories"
    """Defaults to start from: stories, tinystories (10,000 entries), openwebtext (32,000)."""
    input: tuple[str, ...] = ("stories",)
    """Training text: files (.txt, or .gz of one), or the name of a known corpus: stories is made
    on the spot, tinystories and openwebtext are fetched from the Hugging Face Hub."""
    valid: str | None = None
    """Validation text: a file. A known corpus brings its own."""
    vocab_size: int = 2048
    """Entries of the vocabulary, at most, special tokens and the 256 bytes included."""
    out: Path | None = None
    """Directory to write, data/PRESET if not given; files of the same names in it are replaced."""
    special_tokens: tuple[str, ...] = ("<|endoftext|>",)
    """Texts that are one token each; the first one ends a document."""
    stories_bytes: int = 10_000_000
    """Size of the training stories, in bytes; a twentieth of it more is made for validation."""
    seed: int = 0
    """Seed of the stories."""

    @property
    def directory(self) -> Path:
        """Where the files go."""
        return self.out or Path("data") / self.preset
