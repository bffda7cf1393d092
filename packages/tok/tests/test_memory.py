"""Memory. Property: what a text needs does not grow with it. Each measures in its own process."""

import json
import subprocess
import sys

import pytest

MEASURE = """
import json, sys
from pathlib import Path
from tok import Tokenizer

def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

tokenizer = Tokenizer.load(sys.argv[1])
Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
start = resident("VmRSS:")
{work}
print(json.dumps({{"resident": resident("VmHWM:") - start, "count": count}}))
"""
ITERABLE = """
with open(sys.argv[2], newline="") as lines:
    count = sum(1 for _ in tokenizer.encode_iterable(lines))
"""
FILE = "count = tokenizer.encode_file(sys.argv[2], sys.argv[3]).token_count"


@pytest.fixture(scope="module")
def tokenizer_path(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("memory") / "tokenizer.json"
    small.save(path)
    return path


def measure(work, *arguments):
    code = MEASURE.format(work=work)
    run = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, check=True
    )
    return json.loads(run.stdout)


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")


@linux_only
def test_an_iterable_of_5_mb_needs_less_than_1_mb(tokenizer_path, corpus, tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_bytes(corpus.encode() * (5_000_000 // len(corpus.encode())))
    peak = measure(ITERABLE, tokenizer_path, path)
    assert peak["count"] > 1_000_000
    assert peak["resident"] < 1_000_000


@linux_only
def test_a_file_four_times_as_long_needs_no_more(tokenizer_path, corpus, tmp_path):
    peaks = []
    for megabytes in (8, 32):
        path = tmp_path / f"{megabytes}.txt"
        path.write_bytes(corpus.encode() * (megabytes * 1_000_000 // len(corpus.encode())))
        peaks.append(measure(FILE, tokenizer_path, path, tmp_path / "ids.npy"))
    assert peaks[1]["count"] > 3 * peaks[0]["count"]
    # Allocators differ from run to run by a block or two; the text grew by 24 MB.
    assert peaks[1]["resident"] < peaks[0]["resident"] + 4_000_000
