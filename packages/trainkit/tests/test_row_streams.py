"""Streams of random numbers: what a row is given depends on its seed alone."""

import pytest
import torch
from trainkit.row_streams import row_streams

CPU = torch.device("cpu")
COUNT = 150  # more than are drawn at once, twice


def columns(streams):
    return torch.stack([streams.next_uniforms() for _ in range(COUNT)], dim=1).tolist()


def test_every_row_gets_its_generators_numbers_in_order():
    ours = columns(row_streams(2, CPU, [7, 8], None))
    for row, seed in zip(ours, [7, 8], strict=True):
        generator = torch.Generator().manual_seed(seed)
        one_by_one = [
            float(torch.rand(1, dtype=torch.float64, generator=generator)) for _ in range(COUNT)
        ]
        assert row == one_by_one


def test_more_rows_change_no_earlier_one():
    one, three = (columns(row_streams(rows, CPU, 3, None)) for rows in (1, 3))
    assert three[:1] == one
    assert len({tuple(row) for row in three}) == 3


@pytest.mark.parametrize(
    ("seed", "generator", "message"),
    [
        (0, torch.Generator(), "a seed or a generator, not both"),
        ([1, 2], None, "one seed for each of 3 rows is needed, got 2"),
    ],
)
def test_what_is_not_clear_is_refused(seed, generator, message):
    with pytest.raises(ValueError, match=message):
        row_streams(3, CPU, seed, generator)
