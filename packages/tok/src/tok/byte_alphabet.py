"""GPT-2's way to write tokens, which are bytes, as JSON strings: one printable character a byte.

A byte that Latin-1 prints stands for itself; the others (white space, control characters, 0xAD)
take the code points from U+0100 on, in order. So b" the" is written "Ġthe".

Radford et al. 2019 (the `bytes_to_unicode` of GPT-2's released encoder); Hugging Face's
`ByteLevel` is the same.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import count
from typing import cast

from bpe_rs import unspell_vocab

from tok.vocabulary import Vocabulary

MAX_TOKEN_ID = 2**32 - 1


def _characters() -> list[str]:
    printed = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = count(0x100)
    return [chr(byte if byte in printed else next(spare)) for byte in range(256)]


_CHARACTERS = _characters()


def spell(token: bytes) -> str:
    """Writes a token in the byte alphabet."""
    return "".join([_CHARACTERS[byte] for byte in token])


def spell_tokens(vocabulary: Vocabulary) -> dict[str, int]:
    """The tokens as files hold them: spelling -> id, by id; special tokens written as they are.

    Raises:
        ValueError: a special token looks like another token's spelling.
    """
    names = {token_id: name for name, token_id in vocabulary.special_tokens.items()}
    # A special token that merging can make too needs both of its spellings, under one id.
    merged = {left + right for left, right in vocabulary.merges}
    spellings: dict[str, int] = {}
    for token_id, token in sorted(vocabulary.tokens.items()):
        written = [names[token_id]] if token_id in names else []
        if not written or len(token) == 1 or token in merged:
            written.append(spell(token))
        for spelling in written:
            if spellings.setdefault(spelling, token_id) != token_id:
                raise ValueError(
                    f"token ids {spellings[spelling]} and {token_id} would both be written "
                    f"{spelling!r}; give the special token another name"
                )
    return spellings


def unspell_tokens(spellings: object, special_tokens: Collection[str]) -> dict[int, bytes]:
    """Reads `{spelling: id}` back.

    Raises:
        ValueError: not such an object, or an id or a spelling that is none or stands twice.
    """
    if not isinstance(spellings, dict):
        raise ValueError(f"the vocabulary must be an object of ids by token, got {spellings!r:.80}")
    return unspell_vocab(cast(dict[str, object], spellings), special_tokens)


def check_token_id(token_id: object, spelling: str) -> int:
    """Returns `token_id` if it is one."""
    # bool is an int to Python, but not to the file's author.
    if type(token_id) is not int or not 0 <= token_id <= MAX_TOKEN_ID:
        raise ValueError(
            f"the id of token {spelling!r} must be an integer from 0 to {MAX_TOKEN_ID}, "
            f"got {token_id!r:.80}"
        )
    return token_id
