"""The reference itself. Table: cases worked out by hand."""

import pytest
from tok import reference

BYTES = {token_id: bytes([token_id]) for token_id in range(256)}


@pytest.mark.parametrize(
    ("text", "special_tokens", "expected"),
    [
        ("", (), []),
        ("Hello, world", (), ["Hello", ",", " world"]),
        ("I'll  go 12x", (), ["I", "'ll", " ", " go", " 12", "x"]),
        ("a \n\n b", (), ["a", " \n\n", " b"]),
        ("end  ", (), ["end", "  "]),
        ("a<s> b", ["<s>"], ["a", "<s>", " b"]),
        ("<s><s>x", ["<s>", "<s><s>"], ["<s><s>", "x"]),
        ("<s>", (), ["<", "s", ">"]),
    ],
)
def test_pretokens_are_those_worked_out_by_hand(text, special_tokens, expected):
    assert reference.pretokenize(text, special_tokens) == expected


@pytest.mark.parametrize(
    ("text", "merges"),
    [
        ("", []),
        ("a", []),
        # ab 3 times, bc twice; then abc twice.
        ("abc.abc.ab", [(b"a", b"b"), (b"ab", b"c")]),
        # All pairs once: the greatest, (c, d), goes first, then (b, cd), then (a, bcd).
        ("abcd", [(b"c", b"d"), (b"b", b"cd"), (b"a", b"bcd")]),
        # (ab, a) goes before (a, bz): the left tokens decide, though joined "aba" < "abz".
        (
            "bz.bz.bz.bz.bz.abz.aba.ab.ab.ab",
            [(b"b", b"z"), (b"a", b"b"), (b"ab", b"a"), (b"a", b"bz")],
        ),
        # Five a's hold four pairs, but two merges from the left.
        ("aaaaa", [(b"a", b"a"), (b"aa", b"aa"), (b"aaaa", b"a")]),
    ],
)
def test_merges_are_those_worked_out_by_hand(text, merges):
    vocab, learned = reference.train_bpe(text, 1000)
    assert learned == merges
    assert vocab == BYTES | {256 + rank: a + b for rank, (a, b) in enumerate(merges)}


def test_special_tokens_take_the_first_ids_and_are_not_learned_from():
    vocab, merges = reference.train_bpe("ab<s>ab", 259, ["<s>", "<t>"])
    assert (vocab[0], vocab[1], vocab[2], vocab[258]) == (b"<s>", b"<t>", b"\x00", b"ab")
    assert merges == [(b"a", b"b")]


def test_encoding_repeats_merges_in_the_order_they_were_learned():
    # "abc" is ab, c although bc is a token too: ab was learned first.
    vocab = BYTES | {256: b"ab", 257: b"bc", 300: b"<s>"}
    merges = [(b"a", b"b"), (b"b", b"c")]
    assert reference.encode("abc<s>bc", vocab, merges, {"<s>": 300}) == [256, 99, 300, 257]
    assert reference.encode("abc<s>", vocab, merges) == [256, 99, 60, 115, 62]
