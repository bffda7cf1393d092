"""`python -m tok`, as a process. Table: what is printed, what is refused."""

import subprocess
import sys

import pytest
from tok import Tokenizer
from tok.shown import shown, visible

END = "<|endoftext|>"


@pytest.fixture(scope="module")
def path(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "tokenizer.json"
    small.save(path)
    return path


def run(*arguments, text=b""):
    command = [sys.executable, "-m", "tok", *map(str, arguments)]
    return subprocess.run(command, input=text, capture_output=True, check=False)


def test_count_and_encode_and_decode_agree_with_the_class(small: Tokenizer, path, corpus, tmp_path):
    file = tmp_path / "text.txt"
    file.write_bytes(corpus.encode())
    ids = small.encode(corpus)
    assert int(run("count", path, file).stdout) == len(ids)
    assert list(map(int, run("encode", path, text=corpus.encode()).stdout.split())) == ids
    printed = " ".join(map(str, ids)).encode()
    assert run("decode", path, text=printed).stdout == corpus.encode()
    assert run("decode", path, *ids[:9]).stdout == small.decode_bytes(ids[:9])
    assert run("encode", path, "--text", END).stdout == b"0\n"
    counts = run("count", path, file, file).stdout.decode().splitlines()
    assert counts == [f"{len(ids)} {file}"] * 2


def test_show_puts_bars_or_colours_between_tokens(small, path):
    text = "The old king\nsaid: 王"
    plain = run("show", path, "--text", text).stdout.decode()
    assert plain.replace("|", "").startswith("The old king\u21b5\nsaid: ")
    colored = run("show", path, "--text", text, "--color", "always").stdout.decode()
    assert colored.count("\x1b[0m") == small.count(text)
    assert colored.endswith("\n")


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (b" the", " the"),
        (b"\n\n", "\u21b5\n\u21b5\n"),
        (b"\xe7\x8e", r"\xe7\x8e"),
        ("é王".encode(), "é王"),
        (b"\t\x1b[31m\r\x00", r"\t\x1b[31m\r\x00"),
        ("\u202e\u00a0".encode(), r"\u202e\xa0"),
    ],
)
def test_a_token_is_visible_and_harmless_in_a_terminal(token, expected):
    assert visible(token) == expected


def test_no_tokens_are_no_lines():
    assert list(shown([], colored=True)) == list(shown([], colored=False)) == []


@pytest.mark.parametrize(
    ("arguments", "text", "reason"),
    [
        (["count", "none.json"], b"", "error: "),
        (["count", "{path}"], b"ab\xff", "not UTF-8 at byte 2"),
        (["count", "{path}", "none.txt"], b"", "none.txt"),
        (["decode", "{path}", "1", "-", "x"], b"", "token ids are numbers"),
        (["decode", "{path}", "99999"], b"", "error: token id 99999 is not in the vocabulary"),
        (["count", "ranks.tiktoken"], b"", "does not say its pattern"),
        (["sing", "{path}"], b"", "invalid choice"),
        ([], b"", "required"),
    ],
)
def test_bad_input_gets_a_sentence_and_no_traceback(path, arguments, text, reason):
    done = run(*(argument.format(path=path) for argument in arguments), text=text)
    assert done.returncode != 0
    assert reason in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""
