"""What benchmarks share: the machine in words, medians with their spread, memory, corpora.

Benchmarks are scripts; each puts this folder on its path.
"""

from __future__ import annotations

import os
import platform
import random
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

END = "<|endoftext|>"
TALES, WEB, CODE = "tales-train.txt", "web-20m.txt", "code-20m.txt"


def significant(value: float) -> str:
    """Three digits at least, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """`median (least-most)`."""
    return f"{significant(median(values))} ({significant(min(values))}-{significant(max(values))})"


def processor() -> str:
    """Model, family and the vector instructions that paths are chosen by."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor() or platform.machine()
    lines = path.read_text().partition("\n\n")[0].splitlines()
    about = {key.strip(): value.strip() for key, _, value in (s.partition(":") for s in lines)}
    flags = about.get("flags", "").split()
    vector = [name for name in ("avx2", "avx512f", "avx512bw", "avx512vbmi") if name in flags]
    name = about.get("model name", platform.machine())
    family = f"family {about.get('cpu family')}, model {about.get('model')}"
    return f"{name} ({family}: {', '.join(vector) or 'no AVX2'})"


def memory_gib() -> float:
    """All memory of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def commit() -> str:
    """The commit that this file is from, and whether the tree was changed since."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def peak_rss_bytes() -> int:
    """The most memory this process has had.

    Not `ru_maxrss` where there is better: on Linux it starts at what the parent had at the fork.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def mixed(data: Path, cache: Path, *, size: int, seed: int = 0) -> Path:
    """All documents of the three corpora again and again, each time in another order.

    Made once. Repetition flatters whoever remembers pretokens: there are no more distinct ones than
    in the 52 MB that are repeated.
    """
    path = cache / f"mixed-{size}-{seed}.txt"
    if path.exists():
        return path
    end = (END + "\n").encode()
    texts = ((data / name).read_bytes() for name in (TALES, WEB, CODE))
    documents = [document + end for text in texts for document in text.split(end) if document]
    draw = random.Random(seed)
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        while file.tell() < size:
            draw.shuffle(documents)
            for document in documents:
                if file.tell() >= size:
                    break
                file.write(document)
    return unfinished.rename(path)
