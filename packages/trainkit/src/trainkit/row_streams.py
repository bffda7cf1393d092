"""Random numbers for decoding: every row of a batch has a stream of its own."""

from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor


def row_streams(
    batch_size: int,
    device: torch.device,
    seed: int | Sequence[int] | None,
    generator: torch.Generator | None,
) -> list[torch.Generator]:
    """One generator a row. Their seeds are drawn one by one, so more rows change no earlier one.

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
        return [torch.Generator(device).manual_seed(row_seed) for row_seed in seed]
    source = torch.device("cpu") if generator is None else generator.device
    return [
        torch.Generator(device).manual_seed(
            int(torch.randint(2**63 - 1, (), generator=generator, device=source))
        )
        for _ in range(batch_size)
    ]


def next_uniforms(streams: list[torch.Generator]) -> Float64[Tensor, " batch"]:
    """The next number of every row's stream, in [0, 1)."""
    return torch.cat(
        [torch.rand(1, generator=s, dtype=torch.float64, device=s.device) for s in streams]
    )
