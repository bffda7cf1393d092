"""`Tokenizer`: text to token ids and back, by byte-level BPE."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Self, Unpack

import numpy as np
from bpe_rs import (
    GPT2_PATTERN,
    BpeEncoder,
    EncodeStream,
    PretokenCounts,
    SpecialTokens,
    train_bpe,
)
from numpy.typing import NDArray

from tok import gpt2_files, huggingface, tiktoken_files
from tok.decoding import Decoding
from tok.encode_files import encode_file
from tok.offsets import Unit, token_spans
from tok.shards import encode_files
from tok.special import Choices, Special, joined_spans, made_by_merging
from tok.surrogates import Errors, replace_surrogates
from tok.text_file import StrPath, naming
from tok.training import TrainOptions
from tok.vocabulary import Vocabulary, check_special_tokens


class Tokenizer(Decoding):
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
        self._take(Vocabulary.build(vocab, merges, special_tokens or (), pattern))

    def _take(self, vocabulary: Vocabulary, encoder: BpeEncoder | None = None) -> None:
        self._vocabulary = vocabulary
        if encoder is None:
            parts = vocabulary.tokens, vocabulary.merges, vocabulary.special_tokens
            encoder = BpeEncoder(*parts, pattern=vocabulary.pattern)
        self._encoder = encoder

    @classmethod
    def _of(cls, vocabulary: Vocabulary, encoder: BpeEncoder | None = None) -> Self:
        """A tokenizer of what a file holds, which need not be looked through again."""
        tokenizer = cls.__new__(cls)
        tokenizer._take(vocabulary, encoder)
        return tokenizer

    # Making one, and keeping it

    @classmethod
    def train(
        cls,
        input_path: StrPath | Sequence[StrPath] | PretokenCounts,
        vocab_size: int,
        special_tokens: Sequence[str] = (),
        **options: Unpack[TrainOptions],
    ) -> Self:
        """Learns a vocabulary from files, or from counts of pretokens, as `train_bpe` does.

        Args:
            input_path: one file or several, each a text of its own, of the kinds that `encode_file`
                takes; or counts.
            vocab_size: the most tokens there may be, special tokens and the 256 bytes included.
            special_tokens: take the first ids; no pretoken crosses them.
            options: `pattern`, which becomes the tokenizer's, and all others of `train_bpe`:
                `num_threads`, `text_field`, `progress` and so on; see there.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: invalid UTF-8, nothing to learn from, `vocab_size` too small, an option out
                of range.
            TypeError: there is no such option.
        """
        names = check_special_tokens(special_tokens)
        vocab, merges = train_bpe(input_path, vocab_size, names, **options)
        if isinstance(input_path, PretokenCounts):
            pattern = input_path.pattern
        else:
            pattern = options.get("pattern") or GPT2_PATTERN
        return cls(vocab, merges, names, pattern)

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
        vocab_path, merges_path = Path(vocab_path), Path(merges_path)
        if read := gpt2_files.read_files(vocab_path, merges_path, names):
            return cls._of(Vocabulary.of_files(read), read.encoder)
        vocab = gpt2_files.read_vocab(vocab_path, names)
        merges = gpt2_files.read_merges(merges_path)
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
            return cls._of(content)

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
            return cls._of(tiktoken_files.build_vocabulary(ranks, pattern, special_tokens or {}))

    def to_tiktoken(self, path: StrPath) -> None:
        """Writes a rank file. It has no place for `pattern` and `special_tokens`: pass them on.

        Raises:
            ValueError: merging in the order of the ids would give other ids.
        """
        tiktoken_files.write_ranks(Path(path), self._vocabulary)

    # A tokenizer.json holds all of it, and everyone reads it: there is no format of our own.
    load, save = from_huggingface, to_huggingface

    # Text to ids

    def encode(
        self,
        text: str,
        *,
        allowed_special: Special | None = None,
        disallowed_special: Special | None = None,
        errors: Errors = "strict",
    ) -> list[int]:
        """Turns a text into token ids.

        With neither `allowed_special` nor `disallowed_special`, all special tokens are recognised.
        With either, tiktoken's rules hold, which suit text that comes from strangers:

        Args:
            text: any string.
            allowed_special: those to recognise, a set or "all"; none by default.
            disallowed_special: those that are an error, a collection or "all"; by default all
                that are not allowed. What is in neither is encoded as plain text.
            errors: with "replace", what is no Unicode becomes U+FFFD: a surrogate without its
                other half (two halves become their character).

        Raises:
            ValueError: a disallowed special token, or, with "strict", a lone surrogate.
            KeyError: `allowed_special` names a token that is no special token.
        """
        if errors != "strict":
            text = replace_surrogates(text, errors)
        # Asked here as well: a short text takes half a microsecond, and one more call a tenth.
        if allowed_special is None and disallowed_special is None:
            return self._encoder.encode(text)
        return self._encoder_for([text], allowed_special, disallowed_special).encode(text)

    def encode_to_numpy(
        self,
        text: str,
        *,
        allowed_special: Special | None = None,
        disallowed_special: Special | None = None,
        errors: Errors = "strict",
        num_threads: int | None = None,
    ) -> NDArray[np.uint16 | np.uint32]:
        """Turns a text into an array `(tokens,)` of `dtype`; arguments as for `encode`.

        Of a long text, `num_threads` threads encode a part each; None means this one alone. The
        ids are the same.
        """
        if errors != "strict":
            text = replace_surrogates(text, errors)
        encoder = self._encoder_for([text], allowed_special, disallowed_special)
        return encoder.encode_to_numpy(text, num_threads=num_threads, dtype=self.dtype)

    def encode_batch(
        self,
        texts: Iterable[str],
        *,
        allowed_special: Special | None = None,
        disallowed_special: Special | None = None,
        errors: Errors = "strict",
        num_threads: int | None = None,
    ) -> list[list[int]]:
        """Turns each text into ids; arguments as for `encode`.

        Several threads work, `num_threads=None` meaning one a core.

        Raises:
            TypeError: `texts` is one string, or holds something else.
        """
        if isinstance(texts, str):
            raise TypeError("texts must be a collection of str, not one str; put it in a list")
        texts = list(texts)
        if errors != "strict":
            texts = [replace_surrogates(text, errors) for text in texts]
        encoder = self._encoder_for(texts, allowed_special, disallowed_special)
        ids, offsets = encoder.encode_batch(texts, num_threads=num_threads)
        return [ids[start:end].tolist() for start, end in pairwise(offsets.tolist())]

    def count(
        self,
        text: str,
        *,
        allowed_special: Special | None = None,
        disallowed_special: Special | None = None,
        errors: Errors = "strict",
    ) -> int:
        """The number of tokens in a text: `len(encode(text))`; arguments as for `encode`."""
        if errors != "strict":
            text = replace_surrogates(text, errors)
        return self._encoder_for([text], allowed_special, disallowed_special).count(text)

    def encode_spans(self, spans: Iterable[tuple[str, bool]]) -> list[int]:
        """Turns a text of trusted and untrusted spans, `(text, is_trusted)`, into ids.

        The ids are those of the spans joined, but for this: a special token is recognised only
        where the whole of it stands in one trusted span. All else is plain text, so that nothing
        a user writes, at a border or with the help of one, becomes a control token:

            ids = tokenizer.encode_spans([("<|user|>", True), (message, False), ("<|end|>", True)])

        Plain text runs on across borders, and a token may too, as in a template filled in and
        encoded in one piece; to have a token end at a border, encode the parts one by one.

        Raises:
            ValueError: a lone surrogate; or the merges of this vocabulary made a special token
                of plain text, which no way to look for special tokens can prevent.
        """
        plain, never = self._plain_encoder, self._vocabulary.mergeable_special_tokens
        ids: list[int] = []
        for position, piece in enumerate(joined_spans(spans, self._special_finder)):
            if position % 2:
                ids.append(self._vocabulary.special_tokens[piece])
                continue
            piece_ids = plain.encode(piece)
            if never and (made := never.keys() & piece_ids):
                raise ValueError(made_by_merging(never[min(made)]))
            ids += piece_ids
        return ids

    def encode_with_offsets(
        self,
        text: str,
        *,
        allowed_special: Special | None = None,
        disallowed_special: Special | None = None,
        unit: Unit = "character",
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Turns a text into ids, and says where each token starts and ends.

        A token may begin or end inside a character. Counted in characters it has all those that
        it has a byte of, so that two spans may overlap; bytes, of the text in UTF-8, are exact.

        Args:
            text: any string without lone surrogates.
            allowed_special: as for `encode`.
            disallowed_special: as for `encode`.
            unit: what to count, "character" (`text[start:end]`) or "byte".

        Returns:
            The ids, and as many `(start, end)`.
        """
        encoder = self._encoder_for([text], allowed_special, disallowed_special)
        ids, ends = encoder.encode_with_offsets(text)
        return ids.tolist(), token_spans(text, ends, unit)

    def encode_dropout(self, text: str, p: float, seed: int) -> list[int]:
        """Turns a text into ids with merges left out at random: BPE-dropout.

        At each step each merge that could be done is left out with probability `p`: 0 gives
        `encode`, 1 single bytes, 0.1 is usual. `decode` gives the text back whatever was left out.
        The same text, `p` and `seed` (0 to 2**64 - 1) give the same ids on every machine.

        Provilkov et al. 2020 (https://arxiv.org/abs/1910.13267), algorithm 1;
        `tok.reference.encode_dropout` is the same in plain Python.

        Raises:
            ValueError: `p` is not from 0 to 1, `seed` is out of range, or a lone surrogate.
        """
        return self._encoder.encode_dropout(text, p, seed)

    def stream(self) -> EncodeStream:
        """An encoder of one text that comes in parts: `feed(part)` and `finish()` give arrays.

        `finish` ends the text and leaves the stream ready for the next.
        """
        return self._encoder.stream()

    def encode_iterable(self, iterable: Iterable[str]) -> Iterator[int]:
        """Yields the ids of a text that comes in parts, such as an open file's lines.

        Equals `encode("".join(iterable))` wherever the parts are cut, in memory that does not grow
        with the text, if the pattern is one of the package's constants. Where another may be cut
        is not known: then what lies between two special tokens is held until it has ended.
        """
        stream = self.stream()
        for part in iterable:
            yield from stream.feed(part).tolist()
        yield from stream.finish().tolist()

    def encode_iterable_to_numpy(self, iterable: Iterable[str]) -> NDArray[np.uint16 | np.uint32]:
        """The same ids in one array `(tokens,)` of `dtype`.

        Parts are let go as they come: memory is that of the array and an eighth more at most. For
        more ids than memory holds there is `encode_file`.
        """
        stream, ids = self.stream(), bytearray()
        for part in iterable:
            ids += stream.feed(part).astype(self.dtype, copy=False).data
        ids += stream.finish().astype(self.dtype, copy=False).data
        return np.frombuffer(ids, self.dtype)

    encode_file = encode_file
    encode_files = encode_files

    @property
    def encoder(self) -> BpeEncoder:
        """What encodes, for those who want its arrays: `encoder.encode_files(paths, take)`."""
        return self._encoder

    def _encoder_for(
        self,
        texts: Iterable[str],
        allowed_special: Special | None,
        disallowed_special: Special | None,
    ) -> BpeEncoder:
        """The encoder that recognises what is allowed, if no text holds what is not."""
        if allowed_special is None and disallowed_special is None:
            return self._encoder
        choice = self._choices.choose(allowed_special, disallowed_special)
        for text in texts:
            choice.check(text)
        return choice.encoder

    @cached_property
    def _choices(self) -> Choices:
        return Choices(self._vocabulary.special_tokens, self._encoder)

    @cached_property
    def _plain_encoder(self) -> BpeEncoder:
        return self._encoder.recognising(())

    @cached_property
    def _special_finder(self) -> SpecialTokens:
        return SpecialTokens(self._vocabulary.special_tokens)

    # What it is

    @property
    def merges(self) -> list[tuple[bytes, bytes]]:
        """The merges in the order they were learned; a copy."""
        return list(self._vocabulary.merges)

    @property
    def special_tokens(self) -> dict[str, int]:
        """The special tokens that `encode` recognises, with their ids; a copy."""
        return dict(self._vocabulary.special_tokens)

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
            f"special_tokens={reprlib.repr(self._vocabulary.special_tokens)})"
        )

    def __copy__(self) -> Self:
        return self  # nothing can change it

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        content = self._vocabulary
        return type(self), (content.tokens, content.merges, content.special_tokens, content.pattern)
