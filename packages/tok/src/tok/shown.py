"""Tokens made visible: a colour each, in turn, or bars between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import cycle

# Backgrounds of the 256-colour palette that black letters can be read on; neighbours differ.
_COLORS = (183, 151, 223, 210, 117)


def shown(tokens: Iterable[bytes], *, colored: bool) -> Iterator[str]:
    """Yields each token as the terminal shows it, and a line end after the last.

    A token that is no whole characters, and whatever would move the cursor, is written in escapes.
    """
    ends_line = True
    if colored:
        for token, color in zip(tokens, cycle(_COLORS)):
            # The line ends outside the colour, which would else fill the rest of the line.
            body = visible(token).rstrip("\n")
            rest = visible(token)[len(body) :]
            yield f"\x1b[30;48;5;{color}m{body}\x1b[0m{rest}"
            ends_line = bool(rest)
    else:
        bar = ""
        for token in tokens:
            yield bar + visible(token)
            bar = "" if token.endswith(b"\n") else "|"
            ends_line = not bar
    if not ends_line:
        yield "\n"


def visible(token: bytes) -> str:
    r"""The token's text, line ends marked; "\xe7" for bytes that are no character by themselves."""
    return "".join(map(_visible, token.decode(errors="backslashreplace")))


def _visible(character: str) -> str:
    if character == "\n":
        return "\u21b5\n"
    # A space has to be left as it is; tabs, escape sequences and marks that turn text around not.
    return character if character.isprintable() else ascii(character)[1:-1]
