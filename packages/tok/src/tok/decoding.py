"""Ids to text: whole, in batches, with offsets, or as a model gives them."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from operator import index
from types import MappingProxyType

from bpe_rs import BpeDecoder

from tok.vocabulary import Vocabulary


class DecodeStream:
    """Decodes the ids of one text, in whatever parts they come; `decoding` makes one.

    Never gives half a character: its bytes are held back until the rest comes, or something else
    does, which makes them U+FFFD. The parts together are `decode` of all the ids.
    """

    def __init__(self, decoder: BpeDecoder) -> None:
        self._decoder = decoder
        self._held = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, ids: Iterable[int]) -> str:
        """Takes the next ids and returns the text that is certain by now, which may be empty.

        Raises:
            KeyError: an id is not in the vocabulary; the stream is as it was.
        """
        return self._held.decode(self._decoder.decode_bytes(ids))

    def finish(self) -> str:
        """Ends the text and returns its rest: U+FFFD for half a character, or nothing.

        The stream is then at the start of the next text.
        """
        rest = self._held.decode(b"", final=True)
        self._held.reset()
        return rest


class Decoding:
    """The half of `Tokenizer` that turns ids into text.

    Ids may be a list, an array of any integer type, a tensor, or any other iterable of integers.
    Bytes that are not UTF-8, as ids cut short give, become U+FFFD.
    """

    _vocabulary: Vocabulary

    @cached_property
    def _decoder(self) -> BpeDecoder:
        # Not made with the tokenizer: who only encodes does not wait for it.
        return BpeDecoder(self._vocabulary.tokens)

    def decode(self, ids: Iterable[int]) -> str:
        """Turns ids into text.

        Raises:
            KeyError: an id is not in the vocabulary.
        """
        return self._decoder.decode(ids)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Joins the bytes of tokens, whatever they are.

        Raises:
            KeyError: an id is not in the vocabulary.
        """
        return self._decoder.decode_bytes(ids)

    def decode_batch(self, batch: Iterable[Iterable[int]]) -> list[str]:
        """Turns each row of ids into a text, as `decode` does; a matrix is a batch too.

        Raises:
            KeyError: an id is not in the vocabulary.
        """
        return [self._decoder.decode(ids) for ids in batch]

    def decode_with_offsets(self, ids: Iterable[int]) -> tuple[str, list[int]]:
        """The text, and for each token the index of the character that its first byte belongs to.

        Raises:
            KeyError: an id is not in the vocabulary.
        """
        return self._decoder.decode_with_offsets(ids)

    def decoding(self) -> DecodeStream:
        """A decoder of one text whose ids come in parts: `feed(ids)` and `finish()` give text."""
        return DecodeStream(self._decoder)

    def decode_stream(self, ids: Iterable[int]) -> Iterator[str]:
        """Yields text as ids come, never half a character; joined, it equals `decode(ids)`.

        Raises:
            KeyError: an id is not in the vocabulary.
        """
        stream = self.decoding()
        for token_id in ids:
            if text := stream.feed((token_id,)):
                yield text
        if text := stream.finish():
            yield text

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one token; of many characters a token holds only a part.

        Raises:
            KeyError: the id is not in the vocabulary.
        """
        try:
            return self._vocabulary.tokens[index(token_id)]
        except KeyError:
            raise KeyError(
                f"token id {token_id} is not in the vocabulary of {self.vocab_size} tokens"
            ) from None

    @property
    def vocab(self) -> Mapping[int, bytes]:
        """Id -> bytes, special tokens included; a view that can't be changed."""
        return MappingProxyType(self._vocabulary.tokens)

    @property
    def vocab_size(self) -> int:
        """The number of tokens, special ones included. Ids with gaps go beyond: `max_token_id`."""
        return len(self._vocabulary.tokens)
