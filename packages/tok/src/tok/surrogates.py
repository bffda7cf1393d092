"""Lone surrogates: what a Python string may hold, but no Unicode text, and so no UTF-8."""

from __future__ import annotations

from typing import Literal

Errors = Literal["strict", "replace"]


def replace_surrogates(text: str, errors: Errors) -> str:
    """Puts U+FFFD in the place of each surrogate without its other half.

    Two halves side by side, as JSON and UTF-16 write characters beyond U+FFFF, become theirs.
    """
    if errors != "replace":
        raise ValueError(f'errors must be "strict" or "replace", got {errors!r}')
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def check_text(text: str, where: str = "") -> None:
    """Refuses lone surrogates, as encoding does.

    Raises:
        ValueError: there is one; says at which character.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"text must be valid Unicode, but character {error.start}{where} is a lone surrogate; "
            'replace it (errors="replace" of encode does), or decode the bytes it came from anew'
        ) from None
