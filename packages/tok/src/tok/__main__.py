"""`python -m tok`: count, encode, decode and show text with a tokenizer file.

python -m tok count  tokenizer.json book.txt
python -m tok encode tokenizer.json < book.txt
python -m tok decode tokenizer.json 15496 995
python -m tok show   tokenizer.json --text "Hello world"
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tok.patterns import NAMED
from tok.shown import shown
from tok.text_file import read_blocks
from tok.tokenizer import Tokenizer

STDIN = Path("/dev/stdin")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; exits with 1 and a sentence on bad input."""
    options = _parser().parse_args(arguments)
    try:
        tokenizer = _load(options.tokenizer, options.pattern, options.ignore)
        options.run(tokenizer, options)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, OSError, KeyError) as error:
        reason = error.args[0] if isinstance(error, KeyError) else error
        sys.exit(f"error: {reason}")


def count(tokenizer: Tokenizer, options: argparse.Namespace) -> None:
    """Prints the number of tokens of each file."""
    if options.text is not None:
        print(tokenizer.count(options.text))
        return
    for path in options.files or [STDIN]:
        total = sum(len(ids) for ids in _ids(tokenizer, path))
        print(f"{total} {path}" if len(options.files) > 1 else total)


def encode(tokenizer: Tokenizer, options: argparse.Namespace) -> None:
    """Prints the ids, a space between."""
    if options.text is not None:
        print(*tokenizer.encode(options.text))
        return
    for path in options.files or [STDIN]:
        between = ""
        for ids in filter(None, _ids(tokenizer, path)):
            sys.stdout.write(between + " ".join(map(str, ids)))
            between = " "
        print()


def decode(tokenizer: Tokenizer, options: argparse.Namespace) -> None:
    """Writes the bytes of the tokens, and nothing else."""
    words = options.ids or sys.stdin.read().split()
    for word in words:
        if not word.isdecimal():
            raise ValueError(f"token ids are numbers with white space between, got {word!r:.80}")
    sys.stdout.buffer.write(tokenizer.decode_bytes(list(map(int, words))))


def show(tokenizer: Tokenizer, options: argparse.Namespace) -> None:
    """Prints the text with its tokens in colours, or with bars between them."""
    vocab = tokenizer.vocab
    always = options.color == "always"
    colored = always or (options.color == "auto" and sys.stdout.isatty())
    colored = colored and (always or not os.environ.get("NO_COLOR"))  # https://no-color.org
    if options.text is not None:
        parts = iter([tokenizer.encode(options.text)])
        sys.stdout.writelines(shown((vocab[i] for ids in parts for i in ids), colored=colored))
        return
    for path in options.files or [STDIN]:
        tokens = (vocab[i] for ids in _ids(tokenizer, path) for i in ids)
        sys.stdout.writelines(shown(tokens, colored=colored))


def _load(path: Path, pattern: str | None, ignore: Sequence[str]) -> Tokenizer:
    if path.suffix == ".json":
        return Tokenizer.from_huggingface(path, ignore=ignore)
    if pattern is None:
        raise ValueError(
            f"{path} is read as a tiktoken rank file, which does not say its pattern; add "
            f"--pattern with one of {', '.join(NAMED)} or a regular expression"
        )
    return Tokenizer.from_tiktoken(path, NAMED.get(pattern, pattern))


def _ids(tokenizer: Tokenizer, path: Path) -> Iterator[list[int]]:
    """The ids of a file, in memory that does not grow with it."""
    stream = tokenizer.stream()
    for text, _ in read_blocks(path):
        yield stream.feed(text).tolist()
    yield stream.finish().tolist()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tok",
        description="Count, encode, decode and show text with a tokenizer file.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for run in (count, encode, decode, show):
        about = (run.__doc__ or "").strip()
        command = commands.add_parser(run.__name__, help=about, description=about)
        command.set_defaults(run=run)
        _add_tokenizer(command)
        if run is decode:
            command.add_argument("ids", nargs="*", help="token ids; without any, those of stdin")
        else:
            command.add_argument("files", nargs="*", type=Path, help="UTF-8, .gz; none: stdin")
            command.add_argument("--text", help="a text in place of files")
        if run is show:
            command.add_argument(
                "--color",
                choices=["auto", "always", "never"],
                default="auto",
                help="whether tokens are in colours; auto, the default: on a terminal",
            )
    return parser


def _add_tokenizer(command: argparse.ArgumentParser) -> None:
    command.add_argument("tokenizer", type=Path, help="tokenizer.json, or tiktoken's rank file")
    names = ", ".join(NAMED)
    command.add_argument("--pattern", help=f"of a rank file: {names} or a regular expression")
    command.add_argument(
        "--ignore",
        action="append",
        default=[],
        choices=["normalizer", "post_processor"],
        help="what of a tokenizer.json to do without",
    )


if __name__ == "__main__":
    main()
