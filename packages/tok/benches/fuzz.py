"""Looks for a text that we encode otherwise than tiktoken, tokenizers, or ourselves by another way.

    python packages/tok/benches/fuzz.py --seconds 600 --seed 1

Each round draws a vocabulary (any ranks that merging reaches, most of them such as no training
gives), one of the five known patterns and some texts, and encodes them in every way there is. A
finding ends the run with the round's seed, which `--seed` then starts from.

Characters are those of Unicode 3.2, which all know: on newer letters the peers are out of date.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
import unicodedata
from itertools import pairwise
from pathlib import Path

import tiktoken
import tokenizers
from tok import Tokenizer, patterns, reference

SPECIAL = {"<|end|>": 5_000, "<|end|><|end|>": 5_001, " <|": 5_002}
BYTES = {bytes([byte]): byte for byte in range(256)}
# U+0295 has changed its class since.
KNOWN = [
    character
    for character in map(chr, [*range(0xD800), *range(0xE000, 0x30000)])
    if unicodedata.ucd_3_2_0.category(character) != "Cn" and character != "\u0295"
]
FEW = "aabbct  \n\r\t'sSlLvedm12\u00bd.!/<|>éß王\u0301\u3000\u017f🙂\0"


def any_text(draw: random.Random) -> str:
    """A text of few characters, of any, or of one thing again and again."""
    alphabet = draw.choice(["ab", "ab ", FEW, FEW, KNOWN])
    pieces = [*draw.choices(alphabet, k=draw.randrange(60)), *draw.choices(list(SPECIAL), k=2)]
    draw.shuffle(pieces)
    if draw.random() < 0.1:
        pieces = draw.choices(pieces, k=3) * draw.randrange(500)
    return "".join(pieces)


def any_tokenizer(draw: random.Random) -> Tokenizer:
    """One whose tokens are joined of others at random, with ranks in any order."""
    tokens = list(BYTES)
    for _ in range(draw.randrange(200)):
        near = draw.choices([b"a", b"b", b" ", b"1", "é".encode()[:1], *tokens[256:]], k=2)
        tokens.append(b"".join(near)[:64])
    more = list(dict.fromkeys(tokens[256:]))
    if draw.random() < 0.3:
        draw.shuffle(more)
    pattern = draw.choice(list(patterns.HUGGINGFACE_SPELLINGS))
    while True:
        ranks = BYTES | {token: 256 + rank for rank, token in enumerate(more) if len(token) > 1}
        try:
            return Tokenizer.from_tiktoken(ranks, pattern, SPECIAL)
        except ValueError:  # a token that merging does not reach
            more = more[: len(more) // 2]


def split(draw: random.Random, text: str) -> list[str]:
    """The text in parts, cut anywhere."""
    cuts = [0, *sorted(draw.choices(range(len(text) + 1), k=draw.randrange(6))), len(text)]
    return [text[start:end] for start, end in pairwise(cuts)]


def check_ourselves(draw: random.Random, ours: Tokenizer, texts: list[str]) -> None:
    """All our ways to encode give what `encode` gives."""
    for text in texts:
        ids = ours.encode(text)
        assert ids == ours.encode(text), "warm"
        assert ours.decode(ids) == text
        assert ids == ours.encode_to_numpy(text, num_threads=2).tolist()
        assert ids == list(ours.encode_iterable(split(draw, text)))
        assert ids == ours.encode_dropout(text, 0, 0)
        assert ids == ours.encode(text, allowed_special="all")
        assert len(ids) == ours.count(text)
        same, spans = ours.encode_with_offsets(text, unit="byte")
        encoded = text.encode()
        assert ids == same
        assert [encoded[start:end] for start, end in spans] == [ours.vocab[i] for i in ids]
        p, seed = draw.random(), draw.getrandbits(64)
        assert ours.decode(ours.encode_dropout(text, p, seed)) == text
    assert ours.encode_batch(texts, num_threads=2) == list(map(ours.encode, texts))


def check_others(ours: Tokenizer, texts: list[str], folder: Path) -> None:
    """tiktoken, `tokenizers` and the definition give what we give."""
    vocab = dict(ours.vocab)
    special = ours.special_tokens
    ranks = {token: rank for rank, token in vocab.items() if rank not in special.values()}
    rank_encoding = tiktoken.Encoding(
        "fuzz", pat_str=ours.pattern, mergeable_ranks=ranks, special_tokens=special
    )
    ours.save(folder / "tokenizer.json")
    theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in texts:
        ids = ours.encode(text)
        assert ids == rank_encoding.encode(text, allowed_special="all"), "tiktoken"
        plain = ours.encode(text, disallowed_special=())
        assert plain == rank_encoding.encode_ordinary(text), "tiktoken, plain text"
        assert ids == theirs.encode(text).ids, "tokenizers"
        if ours.pattern == patterns.NAMED["gpt2"] and len(text) < 200:
            assert ids == reference.encode(text, vocab, ours.merges, special), "definition"


def main() -> None:
    """Runs rounds until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    seed, until, text_count = options.seed, time.monotonic() + options.seconds, 0
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < until:
            draw = random.Random(seed)
            try:
                ours = any_tokenizer(draw)
                texts = [any_text(draw) for _ in range(20)]
                check_ourselves(draw, ours, texts)
                check_others(ours, texts, Path(folder))
            except BaseException:
                print(f"seed {seed}")
                raise
            seed += 1
            text_count += len(texts)
    print(f"{seed - options.seed} vocabularies, {text_count} texts, no finding")


if __name__ == "__main__":
    main()
