"""Memory. Property: what a text needs does not grow with it. Each measures in its own process."""

import json
import random
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
DISTINCT = """
from bpe_rs import BpeEncoder
encoder = BpeEncoder(tokenizer.vocab, tokenizer.merges, cache_bytes=2**20)
count = 0
for block in range(int(sys.argv[2])):
    count += encoder.count(" ".join(f"{block:x}y{n:x}" for n in range(100_000)))
"""
FILE = """
from bpe_rs import BpeEncoder
encoder = BpeEncoder(tokenizer.vocab, tokenizer.merges, cache_bytes=2**20)
counts = []
encoder.encode_files(sys.argv[2], lambda block: counts.append(len(block.token_ids)))
count = sum(counts)
"""


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


def write_distinct_words(path, size):
    """Text of which no cache has seen anything before: random words, ten a line."""
    draw = random.Random(size)
    with path.open("w") as file:
        while file.tell() < size:
            file.write(" ".join(f"{draw.getrandbits(32):x}" for _ in range(10)) + "\n")


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")


@linux_only
def test_an_iterable_of_5_mb_needs_less_than_1_mb(tokenizer_path, tmp_path):
    write_distinct_words(tmp_path / "text.txt", 5_000_000)
    peak = measure(ITERABLE, tokenizer_path, tmp_path / "text.txt")
    assert peak["count"] > 1_000_000
    assert peak["resident"] < 1_000_000


@linux_only
def test_a_file_four_times_as_long_needs_no_more(tokenizer_path, tmp_path):
    peaks = []
    for size in (2_000_000, 8_000_000):
        write_distinct_words(tmp_path / "text.txt", size)
        peaks.append(measure(FILE, tokenizer_path, tmp_path / "text.txt", tmp_path / "ids.npy"))
    assert peaks[1]["count"] > 3 * peaks[0]["count"]
    # The allocator keeps a block's arrays or gives them back, by chance; the text grew by 6 MB.
    assert peaks[1]["resident"] < peaks[0]["resident"] + 2_000_000


@linux_only
def test_ten_times_as_many_distinct_pretokens_need_no_more(tokenizer_path):
    """Of 64 MiB of cache and 2 GB of text, the same: 123 MB from 250 MB of text on."""
    peaks = [measure(DISTINCT, tokenizer_path, blocks) for blocks in (2, 20)]
    assert peaks[1]["count"] > 9 * peaks[0]["count"]
    # The allocator's chance; kept in full, the pretokens and their ids would take 40 MB more.
    assert peaks[1]["resident"] < peaks[0]["resident"] + 2_000_000
