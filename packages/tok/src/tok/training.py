"""What `Tokenizer.train` passes on."""

from collections.abc import Callable, Sequence
from typing import Literal, TypedDict


class TrainOptions(TypedDict, total=False):
    """The options of `bpe_rs.train_bpe`, which explains them."""

    tie_break: Literal["bytes", "huggingface"]
    min_frequency: int
    min_count: int
    max_token_bytes: int | None
    initial_alphabet: bytes | None
    initial_merges: Sequence[tuple[bytes, bytes]]
    pattern: str | None
    max_pretoken_bytes: int | None
    text_field: str | None
    max_expanded_bytes: int | None
    max_memory_bytes: int | None
    num_threads: int | None
    progress: Callable[[str, int, int], object] | None
    on_interrupt: Literal["raise", "return"]
