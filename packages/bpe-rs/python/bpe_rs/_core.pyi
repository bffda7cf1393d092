"""What the Rust half offers; `bpe_rs` re-exports it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Any, Final, Literal, TypeVar, final, overload

import numpy as np
from numpy.typing import NDArray

from bpe_rs._vocabulary import Vocabulary

__all__ = [
    "CL100K_PATTERN",
    "GPT2_PATTERN",
    "LLAMA3_PATTERN",
    "O200K_PATTERN",
    "QWEN2_PATTERN",
    "BpeDecoder",
    "BpeEncoder",
    "EncodeStream",
    "EncodedBlock",
    "PretokenCounts",
    "ReadVocabulary",
    "SpecialTokens",
    "last_merges",
    "pretokenize",
    "read_gpt2_files",
    "train_bpe",
    "unspell_merges",
    "unspell_vocab",
]

_Id = TypeVar("_Id", bound=np.uint16 | np.uint32)

GPT2_PATTERN: Final[str]
"""GPT-2's pretoken pattern (Radford et al. 2019, `encoder.py`), for the `regex` package.

Pretokenizing here is a hand-written scanner that cuts exactly as that package does.
"""

CL100K_PATTERN: Final[str]
"""The pretoken pattern of GPT-3.5 and GPT-4 (tiktoken's `cl100k_base`)."""

O200K_PATTERN: Final[str]
"""The pretoken pattern of GPT-4o (tiktoken's `o200k_base`)."""

LLAMA3_PATTERN: Final[str]
"""Llama 3's: cl100k's as first published. Of "\\n  " at a text's end it makes two pretokens."""

QWEN2_PATTERN: Final[str]
"""Qwen 2's and 3's: Llama 3's, but each digit is a pretoken."""

def train_bpe(
    input_path: str | PathLike[str] | Sequence[str | PathLike[str]] | PretokenCounts,
    vocab_size: int,
    special_tokens: Sequence[str],
    *,
    tie_break: Literal["bytes", "huggingface"] = "bytes",
    min_frequency: int = 1,
    min_count: int = 1,
    max_token_bytes: int | None = None,
    initial_alphabet: bytes | None = None,
    initial_merges: Sequence[tuple[bytes, bytes]] = (),
    pattern: str | None = None,
    max_pretoken_bytes: int | None = None,
    text_field: str | None = None,
    max_expanded_bytes: int | None = None,
    max_memory_bytes: int | None = None,
    num_threads: int | None = None,
    progress: Callable[[str, int, int], object] | None = None,
    on_interrupt: Literal["raise", "return"] = "raise",
) -> Vocabulary:
    """Learns a byte-level BPE vocabulary from files, or from counts of pretokens.

    Each merge joins the most frequent pair of adjacent tokens (Sennrich et al. 2016, algorithm 1,
    https://arxiv.org/abs/1508.07909, on bytes); of equally frequent pairs, the one whose
    (left bytes, right bytes) is lexicographically greater. No merge crosses a pretoken, and no
    pretoken crosses a special token, the end of a file or of a document in it. Files are read in
    blocks: memory is bounded by the distinct pretokens. Ctrl-C ends it.

    Args:
        input_path: One UTF-8 file or several, as `PretokenCounts.count` takes them; or counts.
        vocab_size: The most tokens to learn, counting special tokens, the 256 bytes and merges.
            Fewer come when no pair is left.
        special_tokens: They become the first ids, in this order. Those of the counts, if counts are
            given.
        tie_break: Which of equally frequent pairs is merged: `"bytes"` as above, `"huggingface"`
            the one with the smaller ids, as `tokenizers.trainers.BpeTrainer` does.
        min_frequency: A pair that occurs less often is not merged.
        min_count: A pretoken that occurs less often is left out. 1 is exact; more saves memory.
        max_token_bytes: No longer token is made.
        initial_alphabet: The single bytes that the vocabulary holds whether they occur or not; None
            means all 256. Bytes that occur are always in it.
        initial_merges: Merges to start from, such as those of an interrupted training: over the
            same counts and with the same options, the rest is what it would have gone on to learn.
        pattern: How text is cut into pretokens, None meaning `GPT2_PATTERN`; this and the next four
            are as in `PretokenCounts.count`, and counts have them behind them.
        max_pretoken_bytes: Longer pretokens are cut.
        text_field: The field or column of the text, None meaning `"text"`.
        max_expanded_bytes: The most that one compressed file may expand to.
        max_memory_bytes: The most memory for counts of pretokens.
        num_threads: Threads that count and merge; None means one a core. The result is the same for
            any.
        progress: Called as `progress(stage, done, total)`, at most ten times a second: stage
            `"count"` in bytes of the files, then `"merge"` in merges. A total of 0 is not known.
            What it raises ends the training.
        on_interrupt: At Ctrl-C while merges are learned, `"raise"` KeyboardInterrupt or `"return"`
            the vocabulary so far. While pretokens are counted there is none: that always raises.

    Returns:
        The vocabulary, from id to bytes: special tokens, the bytes in order, one token for each
        merge; and the merges in the order learned.

    Raises:
        FileNotFoundError: A file is missing. Other trouble with files is another OSError.
        ValueError: A file is not what it should be (the place is named); there is no text but
            special tokens; an option is out of range or does not fit the others. The message says
            which.
    """

@final
class PretokenCounts:
    """How often each pretoken of some texts occurs: all that training needs to know of them.

    Counts of parts add up to the counts of the whole, in any order and grouping: so a corpus may be
    counted on many machines, saved, loaded, merged and trained on, with the vocabulary that one
    machine would learn.

    Args:
        special_tokens: No pretoken crosses one of these.
        pattern: How text is cut into pretokens: `GPT2_PATTERN`, `CL100K_PATTERN`, `LLAMA3_PATTERN`,
            `QWEN2_PATTERN` and `O200K_PATTERN` by hand-written scanners, any other by a regular
            expression engine, with the syntax of the `regex` package as far as the Rust crate
            `fancy-regex` knows it. What no match covers is a pretoken of its own.
        max_pretoken_bytes: Longer pretokens are cut into pieces of so many bytes or a little
            less, never inside a character; a warning says how many were. None cuts none.

    Raises:
        ValueError: A special token is empty, given twice or a single byte; the pattern does not
            compile; `max_pretoken_bytes` is below 4.
    """

    def __new__(
        cls,
        special_tokens: Sequence[str] = (),
        *,
        pattern: str = GPT2_PATTERN,
        max_pretoken_bytes: int | None = None,
    ) -> PretokenCounts: ...
    @staticmethod
    def count(
        input_path: str | PathLike[str] | Sequence[str | PathLike[str]],
        special_tokens: Sequence[str] = (),
        *,
        pattern: str = GPT2_PATTERN,
        max_pretoken_bytes: int | None = None,
        text_field: str = "text",
        max_expanded_bytes: int | None = None,
        max_memory_bytes: int | None = None,
        num_threads: int | None = None,
        progress: Callable[[str, int, int], object] | None = None,
        spans: Sequence[tuple[int, int] | None] | None = None,
    ) -> PretokenCounts:
        """Counts the pretokens of files.

        Args:
            input_path: One file or several. `.jsonl` and `.ndjson` hold a JSON object a line,
                `.parquet` a table (read by pyarrow, the extra `parquet`), each row a text of its
                own; any other file is UTF-8 text. `.gz` and `.zst` after that (`a.jsonl.zst`) are
                decompressed while they are read.
            special_tokens: See the class, as for `pattern` and `max_pretoken_bytes`.
            pattern: See there.
            max_pretoken_bytes: See there.
            text_field: The field of a JSON object, or the column of a table, that is the text.
            max_expanded_bytes: A compressed file that expands to more is an error; None means no
                bound.
            max_memory_bytes: Counts that need more are written to temporary files, sorted, and
                merged from there. The result is the same. None means no bound.
            num_threads: Threads that count; None means one a core. The result is the same for any.
            progress: See `train_bpe`.
            spans: For each file the bytes (start, stop) that are read of it, as if there were
                nothing before and behind; None reads all. Compressed files and tables can be read
                only whole.

        Raises:
            FileNotFoundError: A file is missing. Other trouble with files is another OSError.
            ValueError: A file is not UTF-8, JSON or Parquet where it should be, or has no such
                field: file and place are named. A span is not in its file.
            ImportError: A `.parquet` file, and pyarrow is not installed.
        """

    def update(
        self,
        texts: str | bytes | Iterable[str | bytes],
        *,
        num_threads: int | None = None,
        progress: Callable[[str, int, int], object] | None = None,
    ) -> None:
        """Adds the pretokens of texts, each a text of its own; `bytes` are UTF-8.

        An iterable is read as it comes, and need not fit memory. What it raises is raised here, and
        the counts are then as they were.

        Raises:
            TypeError: Something among the texts is neither `str` nor `bytes`.
            ValueError: A text holds a lone surrogate or is not UTF-8; its place is named.
        """

    def merge(self, other: PretokenCounts) -> None:
        """Adds the counts of `other`, which stay as they are.

        Raises:
            ValueError: The two were cut by different patterns, special tokens or
                `max_pretoken_bytes`; a sum exceeds 2**64 - 1.
        """

    def save(self, path: str | PathLike[str]) -> None:
        """Writes a file that `load` reads: sorted, checksummed, the same bytes for equal counts.

        An old file at `path` stays whole until the new one is.
        """

    @staticmethod
    def load(path: str | PathLike[str]) -> PretokenCounts:
        """Reads a file that `save` wrote.

        Raises:
            OSError: It cannot be read.
            ValueError: It is no such file, damaged, or of another version; the place is named.
        """

    @staticmethod
    def open(paths: Sequence[str | PathLike[str]]) -> PretokenCounts:
        """The sum of files that `save` wrote, which are not loaded but read whenever it is needed.

        `train_bpe` reads them once, in some 100 KiB a file beside what merging needs. All are open
        at the same time, and must stay as they are. Head and end of each are looked at here; damage
        between is an error of who reads it. To iterate over the entries makes a list of them.

        Args:
            paths: One file at least.

        Raises:
            OSError: One cannot be read.
            ValueError: One is no such file, damaged, or of another version; the texts were not all
                cut by the same; there is none.
        """

    @staticmethod
    def merge_files(
        paths: Sequence[str | PathLike[str]],
        output_path: str | PathLike[str],
        *,
        min_count: int = 1,
    ) -> None:
        """Merges files that `save` wrote into one, in memory that does not grow with them.

        It is, byte for byte, the file that loading, merging and saving would write. Memory is some
        100 KiB a file; all are open at the same time. Ctrl-C ends it. An old file at `output_path`
        stays whole until the new one is; damage at the very end of a file is found before that.

        Args:
            paths: One file at least.
            output_path: What to write.
            min_count: A pretoken that occurs less often, in all files together, is left out.

        Raises:
            OSError: One cannot be read or written.
            ValueError: One is no such file, damaged, or of another version; the texts were not all
                cut by the same; a sum exceeds 2**64 - 1; there is none.
        """

    @property
    def special_tokens(self) -> list[str]:
        """The special tokens that no pretoken crosses."""

    @property
    def pattern(self) -> str:
        """How the texts were cut."""

    @property
    def total(self) -> int:
        """How many pretokens there are, counting repetitions."""

    def __len__(self) -> int:
        """How many distinct pretokens there are."""

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        """Pretokens and their counts, in the order of their bytes."""

    def __eq__(self, other: object, /) -> bool: ...

def pretokenize(
    text: str, special_tokens: Sequence[str] = (), *, pattern: str = GPT2_PATTERN
) -> list[str]:
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
        pattern: What a pretoken is; see `pretokenize`.
        cache_bytes: How much memory each thread may use to remember the ids of pretokens; None
            means 64 MiB. With less, more pretokens are merged again and again.

    Raises:
        ValueError: What is given does not fit together, or `pattern` can't be used; the message
            says what. Of encoding: `text` holds a lone surrogate, which is no character, or the
            regex engine, which a pattern that is none of the constants is left to, gives
            up.
    """

    def __new__(
        cls,
        vocab: Mapping[int, bytes],
        merges: Sequence[tuple[bytes, bytes]],
        special_tokens: Mapping[str, int] | None = None,
        *,
        pattern: str = GPT2_PATTERN,
        cache_bytes: int | None = None,
    ) -> BpeEncoder: ...
    def recognising(self, special_tokens: Collection[str]) -> BpeEncoder:
        """The same encoder for texts in which only these of its special tokens are recognised.

        The others are plain text. Both share what they remember, and neither takes long to make.

        Raises:
            KeyError: A name is not one of the encoder's special tokens.
        """

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`.

        Raises:
            ValueError: `text` holds a lone surrogate, which is no character.
        """

    @overload
    def encode_to_numpy(
        self, text: str, *, num_threads: int | None = None, dtype: None = None
    ) -> NDArray[np.uint32]: ...
    @overload
    def encode_to_numpy(
        self, text: str, *, num_threads: int | None = None, dtype: np.dtype[_Id] | type[_Id]
    ) -> NDArray[_Id]:
        """The same ids as `encode`, as an array `(tokens,)`: no Python integer is made.

        Args:
            text: Any text.
            num_threads: How many threads may share a large text; None means this one. The ids are
                the same for any number.
            dtype: uint32, which None means too, or uint16 if every id is below 65,536.

        Raises:
            ValueError: `dtype` is neither, or can't hold the highest id.
        """

    @overload
    def encode_batch(
        self, texts: Iterable[str], *, num_threads: int | None = None, dtype: None = None
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64]]: ...
    @overload
    def encode_batch(
        self,
        texts: Iterable[str],
        *,
        num_threads: int | None = None,
        dtype: np.dtype[_Id] | type[_Id],
    ) -> tuple[NDArray[_Id], NDArray[np.int64]]:
        """The ids of many texts in one array, and where those of each text are in it.

        Args:
            texts: Any texts.
            num_threads: None means all cores. They share large texts, too, and end with the call.
            dtype: Of the ids, as for `encode_to_numpy`.

        Returns:
            Ids `(tokens,)` and offsets `(texts + 1,)`: those of text `i` are
            `ids[offsets[i]:offsets[i + 1]]`.

        Raises:
            TypeError: An element of `texts` is no `str`.
        """

    def encode_with_offsets(self, text: str) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """The same ids as `encode`, and where each token ends.

        Returns:
            Ids and ends, both `(tokens,)`. An end is a byte of `text.encode()`; the next token
            begins there.
        """

    def encode_dropout(self, text: str, p: float, seed: int) -> list[int]:
        """Token ids of `text` with merges left out at random: BPE-dropout.

        Provilkov et al. 2020, algorithm 1 (https://arxiv.org/abs/1910.13267): before each merge,
        every merge that is possible is dropped with probability `p`; of those that remain the one
        of the lowest rank is done, the leftmost of several; where none remains, the pretoken is
        finished. Special tokens stay whole.

        The draws are SplitMix64's (Steele, Lea and Flood 2014), in the order of ranks and places
        until one merge remains: the same text, `p` and `seed` give the same ids on every machine.
        A pretoken of n bytes takes n log n / (1 - p) steps.

        Args:
            text: Any text.
            p: A probability: 0 gives `encode`, 1 single bytes.
            seed: 0 to 2**64 - 1.

        Raises:
            ValueError: `p` or `seed` is out of range; a pretoken has 4 GiB.
        """

    def count(self, text: str) -> int:
        """`len(encode(text))`, in memory that does not grow with the text."""

    def encode_files(
        self,
        input_path: str | PathLike[str] | Sequence[str | PathLike[str]],
        take: Callable[[EncodedBlock], object],
        *,
        row_separator: int | None = None,
        file_separator: int | None = None,
        text_field: str = "text",
        max_expanded_bytes: int | None = None,
        num_threads: int | None = None,
        first_block: int = 0,
        spans: Sequence[tuple[int, int] | None] | None = None,
    ) -> None:
        """Encodes files block by block: in order, on several threads, in memory that stays bounded.

        The ids of a text file are those of `encode` for all its text, those of a file of rows the
        ids of its texts one after the other. Memory is some blocks and a cache for each thread,
        whatever the size of the files. Ctrl-C ends it.

        Args:
            input_path: One file or several, of the kinds that `PretokenCounts.count` takes.
            take: Called on this thread with the ids of each block, in the order of the text. What
                it raises ends the encoding.
            row_separator: An id to put after each text of a `.jsonl` or `.parquet` file that does
                not end with it.
            file_separator: One to put after each text file that does not end with it.
            text_field: The field of a JSON object, or the column of a table, that is the text.
            max_expanded_bytes: A compressed file that expands to more is an error; None means no
                bound.
            num_threads: Threads that encode; None means one a core. Blocks and ids are the same for
                any.
            first_block: Blocks of the first file to leave out, as they were taken before.
            spans: See `PretokenCounts.count`.

        Raises:
            FileNotFoundError: A file is missing. Other trouble with files is another OSError.
            ValueError: A file is not UTF-8, JSON or Parquet where it should be, or has no such
                field: file and place are named, the first of several. A span is not in its file.
            ImportError: A `.parquet` file, and pyarrow is not installed.
        """

    def stream(self) -> EncodeStream:
        """A stream at the start of a text."""

@final
class SpecialTokens:
    """Special tokens to look for in texts; of several that could stand, the leftmost, then longest.

    Raises:
        ValueError: One is empty, given twice, or holds a lone surrogate.
    """

    def __new__(cls, special_tokens: Collection[str]) -> SpecialTokens: ...
    def find(self, text: str) -> tuple[str, int] | None:
        """The first one in `text`, and the index of its first character.

        Raises:
            ValueError: `text` holds a lone surrogate.
        """

    def split(self, text: str) -> list[str]:
        """Plain text, special token, plain text, ..., plain text; joined, `text` again.

        Raises:
            ValueError: `text` holds a lone surrogate.
        """

@final
class EncodedBlock:
    """The ids of a block of text, of about 256 kB: what `BpeEncoder.encode_files` gives."""

    @property
    def token_ids(self) -> NDArray[np.uint16] | NDArray[np.uint32]:
        """The ids `(tokens,)`: uint16 where every id of the vocabulary is below 65,536."""

    @property
    def byte_count(self) -> int:
        """Bytes of text that they stand for, separators that were put in not counted."""

    @property
    def separators(self) -> NDArray[np.int64]:
        """The places in `token_ids` of the separators that were put in, ascending."""

    @property
    def file(self) -> int:
        """The number of the file among `input_path`, the first being 0."""

    @property
    def block(self) -> int:
        """The number of the block in the file. The same file is always cut into the same blocks."""

@final
class BpeDecoder:
    """Decodes token ids: the inverse of a `BpeEncoder` over the same vocabulary.

    All methods take ids as an array of any integer type, of one dimension, or as any iterable of
    integers. Any number of threads may use one.

    Args:
        vocab: From id to bytes. Ids are any of 0 to 2**32 - 1.

    Raises:
        ValueError: An id is out of range.
    """

    def __new__(cls, vocab: dict[int, bytes]) -> BpeDecoder: ...
    def decode(self, token_ids: Iterable[int] | NDArray[np.integer]) -> str:
        """The text of `token_ids`. What is not UTF-8 becomes U+FFFD, as with `errors="replace"`.

        Raises:
            KeyError: An id is not in the vocabulary, or negative, or too large for any.
            TypeError: Something among the ids is no integer.
            ValueError: An array has not one dimension.
        """

    def decode_bytes(self, token_ids: Iterable[int] | NDArray[np.integer]) -> bytes:
        """The bytes of `token_ids`, one token after the other."""

    def decode_with_offsets(
        self, token_ids: Iterable[int] | NDArray[np.integer]
    ) -> tuple[str, list[int]]:
        """The text, and for each token the index of the character that its first byte belongs to.

        A token that begins inside a character has that character's index.
        """

@final
class EncodeStream:
    """Encodes a text that comes in parts: `BpeEncoder.stream` makes one.

    However the text is split, the ids of all parts and of `finish` together are those of the whole
    text. Only a tail that later parts could still change is held back, so memory does not grow with
    the text (but with the longest pretoken). Of a pattern that is none of the constants
    nothing is known: all is held back to the next special token or the end.
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

def last_merges(tokens: Sequence[bytes]) -> list[tuple[bytes, bytes] | None]:
    """The merge behind each token of a list that is merged by rank, as tiktoken's are.

    There, of any two neighbours whose bytes together are a token, those that make the token of the
    lowest rank are merged. Yet each token has one merge, the last two parts that merging its own
    bytes ends with: wherever it comes about in a text, nothing was merged across its ends before.

    Args:
        tokens: In the order of their ranks. All 256 single bytes must be among them.

    Returns:
        For each token its two parts; None for a single byte, and for one that merging its bytes
        does not reach.

    Raises:
        ValueError: A single byte is missing, or a token stands twice.
    """

@final
class ReadVocabulary:
    """What GPT-2's two files hold, with the special tokens that had to be appended."""

    @property
    def encoder(self) -> BpeEncoder:
        """The encoder, for text that GPT-2's pattern cuts."""

    @property
    def special_tokens(self) -> dict[str, int]:
        """The ids of the special tokens."""

    @property
    def max_token_id(self) -> int:
        """The highest id."""

    def tokens(self) -> dict[int, bytes]:
        """The tokens by id, in the order of the file; made anew by each call."""

    def merges(self) -> list[tuple[bytes, bytes]]:
        """The merges in the order of the file; made anew by each call."""

def read_gpt2_files(
    vocab: bytes, merges: bytes, special_tokens: Iterable[str]
) -> ReadVocabulary | None:
    """Reads the content of `vocab.json` and `merges.txt`, making none of Python's objects.

    Special tokens that the vocabulary does not hold are appended, from the highest id + 1 on.

    Returns:
        None if anything is wrong: the slower functions below tell what.
    """

def unspell_vocab(
    spellings: dict[str, Any], special_tokens: Iterable[str] | None = None
) -> dict[int, bytes]:
    """Tokens by id, of ids by tokens written in GPT-2's byte alphabet, one character a byte.

    Args:
        spellings: The ids; two spellings may share one if they mean the same bytes.
        special_tokens: Those of the spellings that are written as they are.

    Raises:
        ValueError: A character stands for no byte, an id is none or is used twice.
    """

def unspell_merges(
    merges: list[Any] | str, *, name: str = "merge", first: int = 0
) -> list[tuple[bytes, bytes]]:
    """Merges written in that alphabet, as "Ġt he" or ["Ġt", "he"]; an empty string is skipped.

    Args:
        merges: The merges, in either way; or a text of them, one "Ġt he" a line.
        name: What errors call one.
        first: The number they give to the first.

    Raises:
        ValueError: One is neither, or a character stands for no byte.
    """
