"""Freed memory is given back: seen by what the process holds before and after."""

import platform
import subprocess
import sys

import pytest
import torch
from trainkit import Batch, choose_execution

HELD = """
import torch
from trainkit.freed_memory import give_back_freed_memory

def held():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096

blocks = [torch.ones(16_000) for _ in range(4_000)]  # of 64 KB, which the heap has
del blocks[:-1]  # the last one holds the heap's end: nothing is given back by itself
before = held()
give_back_freed_memory()
print(before - held())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc_trim is glibc's")
def test_freed_memory_is_given_back():
    done = subprocess.run([sys.executable, "-c", HELD], check=True, capture_output=True, text=True)
    assert int(done.stdout) > 200_000_000  # of 256


def test_a_choice_gives_back_what_it_measured_with(make_model, monkeypatch):
    calls: list[None] = []
    monkeypatch.setattr(
        "trainkit.execution_choice.give_back_freed_memory", lambda: calls.append(None)
    )
    ids = torch.zeros(2, 9, dtype=torch.int64)
    choose_execution(make_model(), Batch(ids[:, :-1], ids[:, 1:]), passes=1, compile=False)
    assert calls == [None]
