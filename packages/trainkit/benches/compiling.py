"""What compiling the training loss costs and brings: not at all, as a whole, block by block.

    uv run python packages/trainkit/benches/compiling.py
    uv run python packages/trainkit/benches/compiling.py --layers 4 --rounds 1

The blocks are ts17m's, 8 sequences of 256 tokens, in bf16 where `measure_precision` finds it to be
the fastest. Each way of each depth is a process of its own: once with an empty cache of torch's
compiler and once with the one that was left, it times the first pass less a later one, which is
what compiling takes, then passes. Their losses must agree, or nothing is reported.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from nnparts import TransformerConfig, TransformerLM
from trainkit import measure_precision, precision_context
from trainkit.loss import batch_loss, compiled_loss

sys.path.insert(0, str(Path(__file__).parents[3] / "benches"))
from measuring import commit, memory_gib, peak_rss_bytes, processor, spread

WAYS = {
    "not compiled": lambda model: batch_loss,
    "whole": lambda model: torch.compile(batch_loss),
    "compiled_loss": compiled_loss,
}
PASSES = 8
TOLERANCE = 3e-4  # of a loss of 9.3 in bf16; 4e-5 was seen


def figures(way: str, num_layers: int) -> dict[str, float]:
    """Of this process: the loss, the first pass, later ones, the most memory."""
    generator = torch.Generator().manual_seed(0)
    config = TransformerConfig(10_000, 256, 512, num_layers, 16, d_ff=1_344)
    model = TransformerLM(config, generator=generator)
    ids = torch.randint(10_000, (8, 257), generator=generator)
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    precision = measure_precision(model, inputs, targets, rounds=1).choice
    loss, seconds, value = WAYS[way](model), list[float](), 0.0
    for _ in range(1 + PASSES):
        start = time.perf_counter()
        with precision_context(precision, "cpu"):
            result = loss(model, inputs, targets)
            torch.autograd.grad(result, [*model.parameters()])
        seconds.append(time.perf_counter() - start)
        value = float(result.detach())
    rest = median(seconds[1:])
    return {
        "loss": value,
        "compiling, s": seconds[0] - rest,
        "pass, ms": 1e3 * rest,
        "peak RSS, MB": peak_rss_bytes() / 1e6,
    }


def in_a_process(way: str, num_layers: int, threads: int, cache: Path) -> dict[str, float]:
    """`figures` of a process with that cache."""
    command = [sys.executable, __file__, "--worker", way, "--layers", str(num_layers)]
    done = subprocess.run(
        [*command, "--threads", str(threads)],
        env=os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(cache)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures and prints, or is a worker."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, nargs="+", default=[4, 6, 12, 24])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--worker", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.worker:
        print(json.dumps(figures(options.worker, *options.layers)))
        return
    print(
        f"{processor()}, {options.threads} threads, {memory_gib():.0f} GB; {platform.system()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}; commit {commit()}\n\n"
        "| blocks | way | compiling, s | with a filled cache, s | a pass, ms | peak RSS, MB |\n"
        "| --- | --- | --- | --- | --- | --- |"
    )
    for num_layers in options.layers:
        cold: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        warm: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way in WAYS:
                with tempfile.TemporaryDirectory() as cache:
                    for found in (cold, warm):
                        run = in_a_process(way, num_layers, options.threads, Path(cache))
                        found[way].append(run)
        losses = [run["loss"] for runs in cold.values() for run in runs]
        assert max(losses) - min(losses) < TOLERANCE, losses
        for way in WAYS:
            both = cold[way] + warm[way]
            is_compiled = way != "not compiled"
            cells = [
                spread([run["compiling, s"] for run in cold[way]]) if is_compiled else "",
                spread([run["compiling, s"] for run in warm[way]]) if is_compiled else "",
                spread([run["pass, ms"] for run in both]),
                spread([run["peak RSS, MB"] for run in cold[way]]),
            ]
            print(f"| {num_layers} | {way} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
