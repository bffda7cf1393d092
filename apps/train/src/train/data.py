"""The token files of a run: found, or made where they can be."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prepare import PrepareConfig, prepare
from prepare.presets import preset_names, read_preset
from prepare.sources import DOCUMENT_END
from tok import Tokenizer
from trainkit import Order, TokenDataset

from train.config import RunConfig


@dataclass(frozen=True)
class RunData:
    """What a run learns from and is tested on."""

    tokenizer: Tokenizer
    train: TokenDataset
    valid: TokenDataset

    @property
    def vocab_size(self) -> int:
        """Ids that the model must know: the tokenizer's largest and those below."""
        return self.tokenizer.max_token_id + 1

    @property
    def entropy(self) -> float | None:
        """Nats a token of the validation text under its source; None where that is unknown."""
        nats = self.valid.extra.get("source_nats")
        return None if nats is None else nats / (len(self.valid) - 1)


def ready_data(config: RunConfig, report: Callable[[str], None]) -> Path:
    """The directory with the token files; made by `prepare` if there is a preset for it.

    Raises:
        FileNotFoundError: There are no token files, and no preset to make them by.
    """
    directory = config.data_directory
    if (directory / "tokenizer.json").is_file():
        return directory
    if config.data is not None or config.preset not in preset_names("prepare"):
        raise FileNotFoundError(
            f"no token files in {directory}; make them with"
            f" uv run prepare --input FILE... --valid FILE --vocab-size N --out {directory}"
        )
    return prepare(read_preset(PrepareConfig, "prepare", config.preset), report)


def open_data(
    directory: Path,
    tokenizer_path: Path,
    *,
    order: Order = "random",
    separate_documents: bool = False,
) -> RunData:
    """Opens the token files in `directory`, which must come from the tokenizer given.

    Both go by `order`, which evaluation does not ask about.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is damaged, or made by another tokenizer; or documents are to be told
            apart, and the tokenizer has no token that does it.
    """
    tokenizer = Tokenizer.load(tokenizer_path)
    separator_id = tokenizer.special_tokens.get(DOCUMENT_END) if separate_documents else None
    if separate_documents and separator_id is None:
        raise ValueError(
            f"--separate-documents needs the special token {DOCUMENT_END}, which {tokenizer_path}"
            " does not have; leave the flag out, or prepare the data with it"
        )
    train, valid = (
        TokenDataset(
            directory / f"{part}.npy",
            tokenizer_hash=tokenizer.fingerprint,
            order=order,
            separator_id=separator_id,
        )
        for part in ("train", "valid")
    )
    return RunData(tokenizer, train, valid)
