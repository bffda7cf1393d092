"""What a tokenizer is, apart from what it does: the content that files hold and hashes are of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self, TypeAlias, cast

from bpe_rs import GPT2_PATTERN, ReadVocabulary

from tok.patterns import canonical

Merge: TypeAlias = tuple[bytes, bytes]


def as_text(token: bytes) -> str | None:
    """The text that a token is; None for parts of characters, which are never a whole pretoken."""
    try:
        return token.decode()
    except UnicodeDecodeError:
        return None


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id, merges in the order they were learned, ids of the special tokens, pattern.

    Of one that was read from files, tokens and merges become Python's objects only when they are
    asked for: 200,000 for GPT-2, and who only encodes needs none of them.
    """

    tokens: dict[int, bytes]
    merges: list[tuple[bytes, bytes]]
    special_tokens: dict[str, int]
    pattern: str = GPT2_PATTERN

    @classmethod
    def build(
        cls,
        tokens: Mapping[int, bytes],
        merges: Iterable[Sequence[bytes]],
        special_tokens: Iterable[str],
        pattern: str = GPT2_PATTERN,
    ) -> Self:
        """Finds the special tokens' ids; appends those without one, from the highest id + 1 on.

        Raises:
            ValueError: a special token is empty, stands twice, has no UTF-8 or comes with an id
                that is not its own.
        """
        names = check_special_tokens(special_tokens)
        wanted = {name.encode() for name in names}
        ids = {token: token_id for token_id, token in tokens.items() if token in wanted}
        following = max(tokens, default=-1) + 1
        appended = [name.encode() for name in names if name.encode() not in ids]
        ids |= {token: following + position for position, token in enumerate(appended)}
        special_ids = {name: ids[name.encode()] for name in names}
        if isinstance(special_tokens, Mapping) and special_tokens != special_ids:
            raise ValueError(
                f"special_tokens says {special_tokens!r:.200}, but the vocabulary gives "
                f"{special_ids!r:.200}; put the tokens into the vocabulary, or pass a list"
            )
        return cls(
            tokens={**tokens, **{ids[token]: token for token in appended}},
            merges=cast(list[Merge], list(map(tuple, merges))),
            special_tokens=special_ids,
            pattern=canonical(pattern),
        )

    @classmethod
    def of_files(cls, read: ReadVocabulary) -> Self:
        """What GPT-2's two files hold."""
        vocabulary = cls.__new__(cls)
        content = {"special_tokens": read.special_tokens, "pattern": GPT2_PATTERN}
        vocabulary.__dict__.update(content, _read=read, max_token_id=read.max_token_id)
        return vocabulary

    if not TYPE_CHECKING:  # an attribute that does not exist shall stay an error there

        def __getattr__(self, name: str) -> object:
            if name not in ("tokens", "merges") or "_read" not in self.__dict__:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            value = getattr(self._read, name)()
            # Two threads may come here: then both get the object that was made first.
            return self.__dict__.setdefault(name, value)

    @cached_property
    def max_token_id(self) -> int:
        """The highest id."""
        return max(self.tokens)

    @cached_property
    def mergeable_special_tokens(self) -> dict[int, str]:
        """Special tokens, by id, that plain text can become too: a byte, or a merge's result."""
        names = {name.encode(): name for name in self.special_tokens}
        merged = {left + right for left, right in self.merges} if names else set[bytes]()
        return {
            self.special_tokens[name]: name
            for token, name in names.items()
            if len(token) == 1 or token in merged
        }

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of pattern, tokens, merges and special tokens."""
        content = [
            self.pattern,
            [[token_id, token.hex()] for token_id, token in sorted(self.tokens.items())],
            [[left.hex(), right.hex()] for left, right in self.merges],
            sorted(self.special_tokens.items()),
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def check_special_tokens(special_tokens: Iterable[str]) -> list[str]:
    """Returns the special tokens as a list, if all are fit to be looked for.

    Raises:
        ValueError: one string in place of several, an empty or lone-surrogate token, one twice.
    """
    if isinstance(special_tokens, str):
        raise ValueError(f"special_tokens must be a list of strings, got {special_tokens!r}")
    names = list(special_tokens)
    if "" in names or len(set(names)) < len(names):
        raise ValueError(f"special tokens must be distinct and not empty, got {names!r:.200}")
    for name in names:
        if any("\ud800" <= character <= "\udfff" for character in name):
            raise ValueError(f"special token {name!r} holds a lone surrogate, which has no UTF-8")
    return names
