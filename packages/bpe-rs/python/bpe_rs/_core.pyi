"""What the Rust half offers; `bpe_rs` re-exports it."""

from collections.abc import Collection, Mapping, Sequence
from os import PathLike
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

__all__ = ["GPT2_PATTERN", "BpeEncoder", "EncodeStream", "pretokenize", "train_bpe"]

GPT2_PATTERN: Final[str]
"""GPT-2's pretoken pattern (Radford et al. 2019, `encoder.py`), for the `regex` package.

Pretokenizing here is a hand-written scanner that cuts exactly as that package does.
"""

def train_bpe(
    input_path: str | PathLike[str] | Sequence[str | PathLike[str]],
    vocab_size: int,
    special_tokens: Sequence[str],
    *,
    num_threads: int | None = None,
) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
    """Learns a byte-level BPE vocabulary from text files.

    Each merge joins the most frequent pair of adjacent tokens (Sennrich et al. 2016, algorithm 1,
    https://arxiv.org/abs/1508.07909, on bytes); of equally frequent pairs, the one whose
    (left bytes, right bytes) is lexicographically greater. No merge crosses a pretoken of
    `GPT2_PATTERN`, and no pretoken crosses a special token or the end of a file. Files are read in
    blocks: memory is bounded by the distinct pretokens. Ctrl-C ends it.

    Args:
        input_path: One UTF-8 file or several, each a text of its own. One whose name ends in `.gz`
            is decompressed while it is read.
        vocab_size: The most tokens to learn, counting special tokens, the 256 bytes and merges.
            Fewer come when no pair is left.
        special_tokens: They become the first ids, in this order.
        num_threads: Threads that count; None means one a core. The result is the same for any.

    Returns:
        The vocabulary, from id to bytes: special tokens, the bytes in order, one token for each
        merge; and the merges in the order learned.

    Raises:
        FileNotFoundError: A file is missing. Other trouble with files is another OSError.
        ValueError: A file is not UTF-8 (the byte is named); there is no text but special tokens;
            `vocab_size` is too small; a special token is empty, given twice or a single byte;
            `num_threads` is below 1.
    """

def pretokenize(text: str, special_tokens: Sequence[str] = ()) -> list[str]:
    """The pieces of `text` that merges never cross; they concatenate to `text`.

    Special tokens are pieces of their own: the leftmost one wins, then the longest.

    Raises:
        ValueError: `text` holds a lone surrogate; a special token is empty or given twice.
    """

@final
class BpeEncoder:
    """Encodes text with a byte-level BPE vocabulary. Any number of threads may use one.

    Each pretoken starts as its bytes; then, of the adjacent pairs that some merge joins, the one of
    the lowest rank is merged, the leftmost of several, until there is none.

    Args:
        vocab: From id to bytes. Ids are any of 0 to 2**32 - 1; all 256 single bytes must be there.
        merges: (left, right) by rank. Left, right and both together must be in the vocabulary.
        special_tokens: Those to recognise in text, with their ids. Where several could stand, the
            leftmost wins, then the longest.

    Raises:
        ValueError: What is given does not fit together; the message says what.
    """

    def __new__(
        cls,
        vocab: Mapping[int, bytes],
        merges: Sequence[tuple[bytes, bytes]],
        special_tokens: Mapping[str, int] | None = None,
    ) -> BpeEncoder: ...
    def encode(self, text: str, special_tokens: Collection[str] | None = None) -> list[int]:
        """Token ids of `text`.

        Args:
            text: Any text.
            special_tokens: Which of the encoder's special tokens to recognise; None means all. The
                others are plain text.

        Raises:
            ValueError: `text` holds a lone surrogate, which is no character.
            KeyError: A name is not one of the encoder's special tokens.
        """

    def encode_to_numpy(
        self, text: str, special_tokens: Collection[str] | None = None
    ) -> NDArray[np.uint32]:
        """The same ids as `encode`, as an array `(tokens,)`: no Python integer is made."""

    def stream(self) -> EncodeStream:
        """A stream at the start of a text, which recognises all special tokens."""

@final
class EncodeStream:
    """Encodes a text that comes in parts: `BpeEncoder.stream` makes one.

    However the text is split, the ids of all parts and of `finish` together are those of the whole
    text. Only a tail that later parts could still change is held back, so memory does not grow with
    the text (but with the longest pretoken).
    """

    def feed(self, text: str) -> NDArray[np.uint32]:
        """Takes the next part and returns the ids that are certain by now, `(tokens,)`.

        Raises:
            ValueError: `text` holds a lone surrogate; the stream is as it was.
        """

    def finish(self) -> NDArray[np.uint32]:
        """Ends the text and returns the rest of its ids, `(tokens,)`.

        The stream is then at the start of the next text.
        """
