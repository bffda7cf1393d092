"""The warning of a busy machine. Table: load and threads, and whether it is told."""

import os

import pytest
import torch
from train.other_work import warn_of_other_work


@pytest.mark.parametrize(
    ("load", "threads", "device", "is_told"),
    [
        (8.1, 2, "cpu", True),
        (8.0, 2, "cpu", False),  # twice the processors, as a compiler may leave it
        (8.1, 1, "cpu", False),
        (8.1, 2, "meta", False),
    ],
)
def test_a_busy_machine_is_told_where_threads_would_wait(
    load, threads, device, is_told, monkeypatch
):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    told: list[str] = []
    warn_of_other_work(torch.device(device), told.append)
    assert [("OMP_NUM_THREADS=1" in line) for line in told] == [True] * is_told
