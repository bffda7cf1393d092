"""Which special tokens of a text are recognised, and which are an error: tiktoken's rules."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Literal, NamedTuple

from bpe_rs import BpeEncoder, SpecialTokens

from tok.surrogates import check_text

Special = Collection[str] | Literal["all"]

_REMEMBERED = 256


class Choice(NamedTuple):
    """What becomes of the special tokens in a text; those in neither group are plain text."""

    encoder: BpeEncoder
    """Recognises those that are allowed."""
    disallowed: SpecialTokens
    """Finds those that are an error."""

    def check(self, text: str) -> None:
        """Refuses a text that holds a disallowed special token.

        Raises:
            ValueError: it does; says which, where, and the ways out.
        """
        if found := self.disallowed.find(text):
            raise ValueError(_refusal(*found))


class Choices:
    """Choices among a tokenizer's special tokens, each made once: searchers take long to make."""

    def __init__(self, known: Iterable[str], encoder: BpeEncoder) -> None:
        self._known = frozenset(known)
        self._encoder = encoder
        self._made: dict[tuple[Special | None, Special | None], Choice] = {}

    def choose(self, allowed_special: Special | None, disallowed_special: Special | None) -> Choice:
        """What the two arguments of `Tokenizer.encode` mean, where at least one is given.

        Raises:
            ValueError: an argument is a string other than "all".
            KeyError: `allowed_special` names a token that is no special token.
        """
        key = _key(allowed_special), _key(disallowed_special)
        choice = self._made.get(key)
        if choice is None:
            choice = self._make(*key)
            if len(self._made) >= _REMEMBERED:  # whoever makes up sets anew shall not fill memory
                self._made.clear()
            self._made[key] = choice
        return choice

    def _make(self, allowed_special: Special | None, disallowed_special: Special | None) -> Choice:
        allowed = self._names(allowed_special or (), "allowed_special")
        if unknown := allowed - self._known:
            raise KeyError(
                f"{min(unknown)!r} of allowed_special is not one of the tokenizer's "
                f"{len(self._known)} special tokens"
            )
        if disallowed_special is None or disallowed_special == "all":
            disallowed = self._known - allowed
        else:
            disallowed = self._names(disallowed_special, "disallowed_special")
        return Choice(self._encoder.recognising(allowed), SpecialTokens(disallowed))

    def _names(self, special: Special, argument: str) -> frozenset[str]:
        if special == "all":
            return self._known
        if isinstance(special, str):
            raise ValueError(
                f'{argument} must be a set of special tokens or "all", got {special!r}'
            )
        return frozenset(special)


def _key(special: Special | None) -> Special | None:
    """Something to look a choice up by: sets and lists are no keys."""
    return special if special is None or isinstance(special, str) else frozenset(special)


def _refusal(name: str, position: int) -> str:
    return (
        f"the text holds the special token {name!r} at character {position}, where it is not "
        f"allowed. To encode it as the special token, pass allowed_special={{{name!r}, ...}}; to "
        "encode it as plain text, leave it out of disallowed_special, or pass "
        "disallowed_special=() for all of them"
    )


def made_by_merging(name: str) -> str:
    """What to say where plain text became a special token."""
    return (
        f"the merges of this vocabulary make the special token {name!r} of plain text, so that it "
        "could come from an untrusted span; rename the special token, or take out that merge"
    )


def joined_spans(spans: Iterable[tuple[str, bool]], special: SpecialTokens) -> Iterator[str]:
    """Yields plain text, special token, plain text, ... of trusted and untrusted spans.

    Plain text runs on across borders; special tokens are looked for inside each trusted span alone.

    Raises:
        ValueError: a span holds a lone surrogate; says which, and where.
    """
    plain: list[str] = []
    for index, (text, is_trusted) in enumerate(spans):
        check_text(text, f" of span {index}")
        first, *rest = special.split(text) if is_trusted else [text]
        plain.append(first)
        for token, following in zip(rest[::2], rest[1::2], strict=True):
            yield "".join(plain)
            yield token
            plain = [following]
    yield "".join(plain)
