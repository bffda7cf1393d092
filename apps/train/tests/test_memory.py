"""The allocator keeps what is freed: seen by the pages that the system has to hand out."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
{told}
def step():
    logits = torch.ones(1024, 64) @ torch.ones(64, 4096)
    return (logits - logits.amax(-1, keepdim=True)).exp().sum()  # three times 17 MB
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(told: str) -> int:
    command = [sys.executable, "-c", FAULTS.format(told=told)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_memory_that_is_kept_is_not_handed_out_again():
    told = "from train.memory import keep_freed_memory; keep_freed_memory()"
    pages_of_all = 10 * 3 * 4096
    # Untold it is 65,000 to 82,000 as a rule, and now and then, by the heap's luck, nothing.
    # Told it is nearly nothing, or once in many runs 12,288: a round's pages a second time.
    assert faults(told) < 0.25 * pages_of_all
