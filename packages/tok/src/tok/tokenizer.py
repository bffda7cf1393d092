"""`Tokenizer`: text to token ids and back, by byte-level BPE."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, cast

import numpy as np
from bpe_rs import GPT2_PATTERN, BpeEncoder, EncodeStream, train_bpe
from numpy.typing import NDArray

from tok import gpt2_files, huggingface, special, tiktoken_files
from tok.special import Special
from tok.text_file import StrPath, naming
from tok.token_file import encode_file
from tok.vocabulary import Vocabulary, check_special_tokens


class Tokenizer:
    """A vocabulary with its merges: text to token ids, and ids to text.

    `decode(encode(text)) == text` for every text. Frozen: threads may share one, and it pickles.

    Args:
        vocab: id -> bytes. Every single byte and every merge's result must be there; ids may have
            gaps (0 to 2**32 - 1).
        merges: pairs of tokens in the order they were learned.
        special_tokens: the strings that `encode` recognises, the longest where several could
            stand. Those missing from `vocab` are appended, from the highest id + 1 on. A special
            token of `vocab` that is not given here is plain text. A mapping to ids, such as
            another tokenizer's `special_tokens`, must give these very ids.
        pattern: what a pretoken is: `GPT2_PATTERN`, `CL100K_PATTERN`, `O200K_PATTERN`,
            `LLAMA3_PATTERN`, `QWEN2_PATTERN` or any other regular expression; what it does not
            match between two matches is a pretoken too.

    Raises:
        ValueError: a byte or a merge's part is not in `vocab`, two ids have the same bytes, a merge
            or a special token is given twice, a special token is empty.

    Sources: Sennrich et al. 2016 (https://arxiv.org/abs/1508.07909); Radford et al. 2019, section
    2.2. `tok.reference` has the same in plain Python.
    """

    def __init__(
        self,
        vocab: Mapping[int, bytes],
        merges: Sequence[tuple[bytes, bytes]],
        special_tokens: Iterable[str] | None = None,
        pattern: str = GPT2_PATTERN,
    ) -> None:
        self._vocabulary = Vocabulary.build(vocab, merges, special_tokens or (), pattern)
        self._encoder = _encoder(self._vocabulary)

    # Making one, and keeping it

    @classmethod
    def train(
        cls,
        input_path: StrPath | Sequence[StrPath],
        vocab_size: int,
        special_tokens: Sequence[str] = (),
        *,
        num_threads: int | None = None,
    ) -> Self:
        """Learns a vocabulary from one or several UTF-8 files (`.txt`, `.gz`), as `train_bpe` does.

        Args:
            input_path: the files; each is a text of its own.
            vocab_size: the most tokens there may be, special tokens and the 256 bytes included.
            special_tokens: take the first ids; no pretoken crosses them.
            num_threads: None means all cores; the result is the same for any number.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: invalid UTF-8, nothing to learn from, `vocab_size` too small.
        """
        names = check_special_tokens(special_tokens)
        vocab, merges = train_bpe(input_path, vocab_size, names, num_threads=num_threads)
        return cls(vocab, merges, names)

    @classmethod
    def from_files(
        cls,
        vocab_path: StrPath,
        merges_path: StrPath,
        special_tokens: Iterable[str] | None = None,
    ) -> Self:
        """Reads GPT-2's two files, `vocab.json` and `merges.txt`.

        Raises:
            FileNotFoundError: one of them does not exist.
            ValueError: one is malformed, or the two do not belong together.
        """
        names = check_special_tokens(special_tokens or ())
        vocab = gpt2_files.read_vocab(Path(vocab_path), names)
        merges = gpt2_files.read_merges(Path(merges_path))
        with naming(f"{vocab_path}, {merges_path}"):
            return cls(vocab, merges, names)

    def save_files(self, vocab_path: StrPath, merges_path: StrPath) -> None:
        """Writes GPT-2's two files. Special tokens are in the first, but not marked as such."""
        gpt2_files.write_files(Path(vocab_path), Path(merges_path), self._vocabulary)

    @classmethod
    def from_huggingface(cls, path: StrPath, *, ignore: Collection[str] = ()) -> Self:
        """Reads a `tokenizer.json` of byte-level BPE: GPT-2's, Llama 3's, Qwen's and their like.

        Args:
            path: the file.
            ignore: what to do without, where it stands in the way. "post_processor" (Llama 3):
                ids are those of `encode(text, add_special_tokens=False)` there. "normalizer"
                (Qwen's NFC): ids are equal for text that is normalized already.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: not such a file, or one that can't be reproduced exactly: says why.
        """
        content = huggingface.read_tokenizer(Path(path), ignore)
        with naming(path):
            return cls._from_content(content)

    def to_huggingface(self, path: StrPath) -> None:
        """Writes a `tokenizer.json` that `tokenizers` and `transformers` read to equal ids.

        Raises:
            ValueError: a special token reads like another token does in that format.
        """
        huggingface.write_tokenizer(Path(path), self._vocabulary)

    @classmethod
    def from_tiktoken(
        cls,
        source: StrPath | Mapping[bytes, int],
        pattern: str,
        special_tokens: Mapping[str, int] | None = None,
    ) -> Self:
        """Makes what `tiktoken.Encoding` is made from, with equal ids.

        Args:
            source: a rank file (`.tiktoken`), or tiktoken's `mergeable_ranks`.
            pattern: tiktoken's `pat_str`. It drops text that the pattern does not match; here
                that is encoded.
            special_tokens: with their ids; all are recognised by `encode` unless it is told else.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: a malformed file, or ranks that merges can't reproduce: says why.
        """
        if isinstance(source, Mapping):
            ranks, origin = source, "mergeable_ranks"
        else:
            ranks, origin = tiktoken_files.read_ranks(Path(source)), source
        with naming(origin):
            return cls._from_content(
                tiktoken_files.build_vocabulary(ranks, pattern, special_tokens or {})
            )

    def to_tiktoken(self, path: StrPath) -> None:
        """Writes a rank file. It has no place for `pattern` and `special_tokens`: pass them on.

        Raises:
            ValueError: merging in the order of the ids would give other ids.
        """
        tiktoken_files.write_ranks(Path(path), self._vocabulary)

    @classmethod
    def _from_content(cls, content: Vocabulary) -> Self:
        return cls(content.tokens, content.merges, content.special_tokens, content.pattern)

    # A tokenizer.json holds all of it, and everyone reads it: there is no format of our own.
    load, save = from_huggingface, to_huggingface

    # Text to ids

    def encode(
        self,
        text: str,
        *,
        allowed_special: Special | None = None,
        disallowed_special: Special | None = None,
    ) -> list[int]:
        """Turns a text into token ids.

        With neither argument, all special tokens are recognised. With either, tiktoken's rules
        hold, which suit text that comes from strangers:

        Args:
            text: any string without lone surrogates.
            allowed_special: those to recognise, a set or "all"; none by default.
            disallowed_special: those that are an error, a collection or "all"; by default all
                that are not allowed. What is in neither is encoded as plain text.

        Raises:
            ValueError: a disallowed special token, or a lone surrogate.
            KeyError: `allowed_special` names a token that is no special token.
        """
        allowed = special.select(
            text,
            self._vocabulary.special_tokens,
            allowed_special=allowed_special,
            disallowed_special=disallowed_special,
        )
        return self._encoder.encode(text, allowed)

    def encode_to_numpy(self, text: str) -> NDArray[np.uint16 | np.uint32]:
        """Turns a text into an array `(tokens,)` of `dtype`, all special tokens recognised."""
        return self._encoder.encode_to_numpy(text).astype(self.dtype, copy=False)

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """Turns each text into ids, as `encode` does."""
        return [self._encoder.encode(text) for text in texts]

    def stream(self) -> EncodeStream:
        """An encoder of one text that comes in parts: `feed(part)` and `finish()` give arrays.

        `finish` ends the text and leaves the stream ready for the next.
        """
        return self._encoder.stream()

    def encode_iterable(self, iterable: Iterable[str]) -> Iterator[int]:
        """Yields the ids of a text that comes in parts, such as an open file's lines.

        Equals `encode("".join(iterable))` wherever the parts are cut, in memory that does not grow
        with the text.
        """
        stream = self.stream()
        for part in iterable:
            yield from stream.feed(part).tolist()
        yield from stream.finish().tolist()

    encode_file = encode_file

    def count(self, text: str) -> int:
        """The number of tokens in a text: `len(encode(text))`."""
        return self._encoder.encode_to_numpy(text).size

    # Ids to text

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Joins the bytes of tokens; `ids` may be an array or a tensor of one dimension.

        Raises:
            KeyError: an id is not in the vocabulary.
        """
        return b"".join(self._tokens(ids))

    def decode(self, ids: Iterable[int]) -> str:
        """Turns ids into text; bytes that are not UTF-8, as ids cut short give, become U+FFFD.

        Raises:
            KeyError: an id is not in the vocabulary.
        """
        return self.decode_bytes(ids).decode(errors="replace")

    def decode_stream(self, ids: Iterable[int]) -> Iterator[str]:
        """Yields text as ids come, never half a character; joined, it equals `decode(ids)`.

        Raises:
            KeyError: an id is not in the vocabulary.
        """
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for token in self._tokens(ids):
            if text := decoder.decode(token):
                yield text
        if text := decoder.decode(b"", final=True):
            yield text

    def _tokens(self, ids: Iterable[int]) -> Iterator[bytes]:
        tokens = self._vocabulary.tokens
        # Arrays and tensors yield scalars of their own, which are slow and, in torch, no keys.
        to_list = getattr(ids, "tolist", None)
        for token_id in to_list() if to_list else ids:
            try:
                yield tokens[token_id]
            except KeyError:
                raise KeyError(
                    f"token id {token_id} is not in the vocabulary of {len(tokens)} tokens"
                ) from None

    # What it is

    @property
    def vocab(self) -> Mapping[int, bytes]:
        """Id -> bytes, special tokens included; a view that can't be changed."""
        return MappingProxyType(self._vocabulary.tokens)

    @property
    def merges(self) -> list[tuple[bytes, bytes]]:
        """The merges in the order they were learned; a copy."""
        return list(self._vocabulary.merges)

    @property
    def special_tokens(self) -> dict[str, int]:
        """The special tokens that `encode` recognises, with their ids; a copy."""
        return dict(self._vocabulary.special_tokens)

    @property
    def vocab_size(self) -> int:
        """The number of tokens, special ones included. Ids with gaps go beyond: `max_token_id`."""
        return len(self._vocabulary.tokens)

    @property
    def max_token_id(self) -> int:
        """The highest id; a model's embedding needs one row more than that."""
        return self._vocabulary.max_token_id

    @property
    def dtype(self) -> np.dtype[np.uint16 | np.uint32]:
        """The smaller of uint16 and uint32 that holds every id."""
        return np.dtype(np.uint16) if self.max_token_id < 2**16 else np.dtype(np.uint32)

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of pattern, vocabulary, merges and special tokens.

        Token files carry it, so that no one trains on ids of another tokenizer.
        """
        return self._vocabulary.fingerprint

    @property
    def pattern(self) -> str:
        """The regular expression that cuts text into pretokens."""
        return self._vocabulary.pattern

    def __len__(self) -> int:
        return self.vocab_size

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tokenizer):
            return NotImplemented
        return self._vocabulary == other._vocabulary

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return (
            f"Tokenizer(vocab_size={self.vocab_size}, merges={len(self._vocabulary.merges)}, "
            f"special_tokens={self._vocabulary.special_tokens})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        content = self._vocabulary
        return type(self), (content.tokens, content.merges, content.special_tokens, content.pattern)


def _encoder(content: Vocabulary) -> BpeEncoder:
    parts = content.tokens, content.merges, content.special_tokens
    if content.pattern == GPT2_PATTERN:
        return BpeEncoder(*parts)
    # TO MERGE with branch enc: then `return BpeEncoder(*parts, pattern=content.pattern)` is all.
    return cast(Any, BpeEncoder)(*parts, pattern=content.pattern)
