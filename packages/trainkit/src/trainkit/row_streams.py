"""Random numbers for decoding: every row of a batch has a stream of its own."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

_AT_ONCE = 64  # numbers of a row


def row_streams(
    batch_size: int,
    device: torch.device,
    seed: int | Sequence[int] | None,
    generator: torch.Generator | None,
) -> "RowStreams":
    """A stream for each row. Their seeds are drawn one by one, so more rows change no earlier one.

    Args:
        batch_size: number of rows.
        device: where the streams' numbers come up.
        seed: of the rows' seeds; a sequence is the rows' seeds themselves.
        generator: source of the rows' seeds instead; with neither, torch's global one is.

    Raises:
        ValueError: both are given, or there is not one seed for each row.
    """
    if seed is not None and generator is not None:
        raise ValueError("give a seed or a generator, not both")
    if isinstance(seed, int):
        generator = torch.Generator().manual_seed(seed)
    elif seed is not None:
        if len(seed) != batch_size:
            raise ValueError(f"one seed for each of {batch_size} rows is needed, got {len(seed)}")
        return RowStreams([torch.Generator(device).manual_seed(row_seed) for row_seed in seed])
    source = torch.device("cpu") if generator is None else generator.device
    seeds = [
        int(torch.randint(2**63 - 1, (), generator=generator, device=source))
        for _ in range(batch_size)
    ]
    return RowStreams([torch.Generator(device).manual_seed(row_seed) for row_seed in seeds])


class RowStreams:
    """What rows are drawn by: a stream of numbers for each, see `row_streams`."""

    def __init__(self, generators: list[torch.Generator]) -> None:
        self._generators = generators
        self._numbers: Iterator[Float64[Tensor, " batch"]] = iter(())

    def __len__(self) -> int:
        return len(self._generators)

    def next_uniforms(self) -> Float64[Tensor, " batch"]:
        """The next number of every row's stream, in [0, 1)."""
        numbers = next(self._numbers, None)
        if numbers is None:
            self._numbers = iter(self._draw())
            numbers = next(self._numbers)
        return numbers

    def _draw(self) -> tuple[Float64[Tensor, " batch"], ...]:
        # Many at a time: one by one eight rows take 12 us a token.
        columns = [
            torch.rand(_AT_ONCE, generator=each, dtype=torch.float64, device=each.device)
            for each in self._generators
        ]
        return torch.stack(columns, dim=1).unbind()
