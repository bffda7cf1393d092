"""tiktoken's rank files: a token in base64, a space and its rank, one a line.

A rank is the token's id and the order of merging at once, and of any two neighbours whose bytes
together are a token, tiktoken merges those of the lowest rank. Ours is a list of merges, so each
token's is recovered (`bpe_rs.last_merges` says why it has only one). That loses nothing.

One thing more: a pretoken that is a token is given out by tiktoken without merging. So a token that
merging does not reach and that could be a pretoken can't be reproduced, and is refused.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path

from bpe_rs import last_merges

from tok.atomic import write_bytes
from tok.byte_alphabet import MAX_TOKEN_ID
from tok.text_file import naming
from tok.vocabulary import Merge, Vocabulary, as_text


def read_ranks(path: Path) -> dict[bytes, int]:
    """Reads a rank file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is no token and rank, or one of the two stands twice; names the line.
    """
    ranks: dict[bytes, int] = {}
    with naming(path):
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if line:
                token, rank = _read_line(line, number)
                if ranks.setdefault(token, rank) != rank:
                    raise ValueError(f"line {number}: token {token!r:.80} has a rank already")
        _check_ranks(ranks)
    return ranks


def _read_line(line: bytes, number: int) -> tuple[bytes, int]:
    try:
        encoded, rank = line.split(b" ")
        token = base64.b64decode(encoded, validate=True)
        # int() would take "+1", "1_0" and 10**9 digits as well.
        if not token or not rank.isdigit() or len(rank) > len(str(MAX_TOKEN_ID)):
            raise ValueError
        return token, int(rank)
    except (ValueError, binascii.Error):
        raise ValueError(
            f"line {number} must hold a token in base64, a space and its rank, got {line!r:.80}"
        ) from None


def _check_ranks(ranks: Mapping[bytes, int]) -> None:
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        raise ValueError(f"all 256 single bytes need a rank, but {missing[0]:#04x} has none")
    if len(set(ranks.values())) < len(ranks):
        raise ValueError(f"each of the {len(ranks)} tokens needs a rank of its own")
    if max(ranks.values()) > MAX_TOKEN_ID or min(ranks.values()) < 0:
        raise ValueError(f"ranks must be from 0 to {MAX_TOKEN_ID}")


def build_vocabulary(
    ranks: Mapping[bytes, int], pattern: str, special_tokens: Mapping[str, int]
) -> Vocabulary:
    """The tokenizer that gives tiktoken's ids.

    Raises:
        ValueError: ranks that no merges reproduce, an id that is given twice.
    """
    _check_ranks(ranks)
    tokens = {rank: token for token, rank in ranks.items()}
    for name, token_id in special_tokens.items():
        if tokens.setdefault(token_id, name.encode()) != name.encode():
            raise ValueError(
                f"special token {name!r} has id {token_id}, which is that of {tokens[token_id]!r}"
            )
    return Vocabulary.build(tokens, recover_merges(ranks), special_tokens, pattern)


def recover_merges(ranks: Mapping[bytes, int]) -> list[Merge]:
    """The merge that makes each token, by rank.

    Raises:
        ValueError: a token that could be a pretoken is not reached by merging.
    """
    tokens = sorted(ranks, key=ranks.__getitem__)
    merges = list(zip(tokens, last_merges(tokens), strict=True))
    for token, merge in merges:
        if merge is None and len(token) > 1 and as_text(token) is not None:
            raise ValueError(
                f"token {token!r:.80} of rank {ranks[token]} is not reached by merging its bytes; "
                "tiktoken gives it for a whole pretoken all the same, which merges can't reproduce"
            )
    return [merge for _, merge in merges if merge is not None]


def write_ranks(path: Path, vocabulary: Vocabulary) -> None:
    """Writes the rank file; pattern and special tokens have no place in it.

    Raises:
        ValueError: merging by ids would not be merging by our merges.
    """
    special = set(vocabulary.special_tokens.values())
    made = {left + right for left, right in vocabulary.merges}
    ranks = {
        token: token_id
        for token_id, token in sorted(vocabulary.tokens.items())
        if token_id not in special or len(token) == 1 or token in made
    }
    if recover_merges(ranks) != vocabulary.merges:
        raise ValueError(
            "a rank file merges in the order of the ids, and here that gives other merges than "
            "this tokenizer's; save it as a tokenizer.json instead"
        )
    lines = [b"%s %d\n" % (base64.b64encode(token), rank) for token, rank in ranks.items()]
    write_bytes((path, b"".join(lines)))
