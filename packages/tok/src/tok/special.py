"""Which special tokens of a text are recognised, and which are an error: tiktoken's rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

Special = Collection[str] | Literal["all"]


def select(
    text: str,
    known: Mapping[str, int],
    *,
    allowed_special: Special | None,
    disallowed_special: Special | None,
) -> set[str] | None:
    """The special tokens to recognise in `text`; None means all that are known.

    Raises:
        ValueError: `text` holds a disallowed one, or an argument is a string other than "all".
    """
    if allowed_special is None and disallowed_special is None:
        return None
    allowed = _names(allowed_special or (), known, "allowed_special")
    if disallowed_special is None or disallowed_special == "all":
        disallowed = known.keys() - allowed
    else:
        disallowed = _names(disallowed_special, known, "disallowed_special")
    _refuse(text, disallowed)
    return allowed


def _names(special: Special, known: Mapping[str, int], argument: str) -> set[str]:
    if special == "all":
        return set(known)
    if isinstance(special, str):
        raise ValueError(f'{argument} must be a set of special tokens or "all", got {special!r}')
    return set(special)


def _refuse(text: str, disallowed: Collection[str]) -> None:
    found = [(text.find(name), -len(name), name) for name in disallowed if name in text]
    if not found:
        return
    position, _, name = min(found)
    raise ValueError(
        f"the text holds the special token {name!r} at character {position}, where it is not "
        f"allowed. To encode it as the special token, pass allowed_special={{{name!r}, ...}}; to "
        "encode it as plain text, leave it out of disallowed_special, or pass "
        "disallowed_special=() for all of them"
    )
