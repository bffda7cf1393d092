"""Rows that grow by a token each."""

import torch
from trainkit.token_rows import TokenRows


def test_whenever_they_are_asked_for_they_are_all_there():
    start, columns = torch.tensor([[1, 2], [3, 4]]), [torch.tensor([i, -i]) for i in range(5, 12)]
    rows = TokenRows(start)
    assert torch.equal(rows.token_ids, start)
    assert rows.last.tolist() == [2, 4]
    for count, column in enumerate(columns, start=1):
        rows.append(column)
        assert (len(rows), rows.last.tolist()) == (2 + count, column.tolist())
        if count in (1, 2, 5, 7):  # one, one and three were added since
            expected = torch.cat([start, torch.stack(columns[:count], dim=1)], dim=1)
            assert torch.equal(rows.token_ids, expected)
            assert len(rows) == 2 + count
    assert start.tolist() == [[1, 2], [3, 4]]
