"""GPT-2's two files read in one go. Table: what is read, and what is left to slower functions."""

import pytest
from bpe_rs import read_gpt2_files

BYTES = {byte: bytes([byte]) for byte in range(256)}
VOCAB = b"{" + b",".join(
    b'"%s":%d' % (chr(code).encode(), token_id)
    for token_id, code in enumerate(
        [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100), *range(0x100, 0x144)]
    )
    if chr(code) not in '"\\'
)
REST = b',"\\"":1,"\\\\":59,"\xc4\xa0a":700,"<s>":300}'
MERGES = b"#version: 0.2\n\xc4\xa0 a\n"


def test_tokens_are_those_of_the_files_and_special_ones_are_appended():
    read = read_gpt2_files(VOCAB + REST, MERGES, ["<s>", "<new é>"])
    assert read is not None
    assert read.tokens()[700] == b" a"
    assert sorted(read.tokens().values()) == sorted(
        [*BYTES.values(), b" a", b"<s>", "<new é>".encode()]
    )
    assert read.merges() == [(b" ", b"a")]
    assert read.special_tokens == {"<s>": 300, "<new é>": 701}
    assert read.max_token_id == 701
    assert read.encoder.encode(" a<s><new é>") == [700, 300, 701]


@pytest.mark.parametrize(
    ("vocab", "merges"),
    [
        (b"[]", MERGES),
        (VOCAB + b"}", b""),  # two bytes are missing
        (VOCAB + REST[:-1] + b',"<s>":301}', MERGES),
        (VOCAB + REST[:-1] + b',"<t>":300}', MERGES),
        (VOCAB + REST.replace(b"700", b"true"), MERGES),
        (VOCAB + REST.replace(b"700", b"4294967296"), MERGES),
        (VOCAB + REST.replace(b"<s>", b"< >"), MERGES),
        (VOCAB + REST, b"a b\n"),
        (VOCAB + REST, MERGES + b"\xc4\xa0 a\n"),
        (VOCAB + REST, b"a\n"),
    ],
)
def test_what_is_wrong_is_left_to_those_who_say_so(vocab: bytes, merges: bytes):
    assert read_gpt2_files(VOCAB + REST, MERGES, []) is not None
    assert read_gpt2_files(vocab, merges, []) is None


def test_no_id_is_left_for_a_special_token():
    vocab = VOCAB + REST.replace(b"700", b"4294967295")
    assert read_gpt2_files(vocab, MERGES, ["<s>"]) is not None
    assert read_gpt2_files(vocab, MERGES, ["<new>"]) is None
