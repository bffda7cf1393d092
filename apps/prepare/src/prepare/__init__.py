"""Corpus to tokenizer and token files: the app `prepare`, and its work as functions."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prepare.config import PrepareConfig
    from prepare.pipeline import prepare

__all__ = ["PrepareConfig", "prepare"]


def __getattr__(name: str) -> Any:
    # When they are asked for: a process of `prepare.cluster` needs neither, nor tyro behind them,
    # which is a third of the time that it takes to start.
    if name == "PrepareConfig":
        from prepare.config import PrepareConfig

        return PrepareConfig
    if name == "prepare":
        from prepare.pipeline import prepare

        return prepare
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
