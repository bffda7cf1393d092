"""Tokens a second of two ranks with a thread each, beside one process with two threads.

    python packages/trainkit/benches/ranks.py [--rounds 4] [--steps 6] [--precision fp32]

One process, DDP and FSDP2 train the same model on the same batches, in turn, `rounds` times; each
is a fresh set of processes, whose first steps are not counted. Before anything is timed, the losses
of all three must agree.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time

import torch
from nnparts import TransformerConfig, TransformerLM
from trainkit import (
    Batch,
    Execution,
    TrainConfig,
    join_ranks,
    make_optimizer,
    rank_rows,
    shard_model,
)
from trainkit.step import Stepper

WAYS = {"one process": 1, "ddp": 2, "fsdp": 2}  # how many ranks
THREADS = 2  # of all ranks together
SHAPE = TransformerConfig(4096, 256, d_model=256, num_layers=4, num_heads=8)
CONFIG = TrainConfig(batch_size=8)
WARM_UP = 3
# Losses near 8 after a few updates; sums in another order differ by 1e-6 of them. In bf16 by 1e-3.
BOUND = {"fp32": 1e-5, "bf16": 1e-2}


def train(way: str, steps: int, precision: str) -> None:
    """Trains as one rank; the first prints the seconds of each step and the last loss, as JSON."""
    torch.set_num_threads(THREADS // WAYS[way])
    with join_ranks() as ranks:
        model = TransformerLM(SHAPE, generator=torch.Generator().manual_seed(0))
        if way == "fsdp":
            shard_model(model, ranks)
        optimizer = make_optimizer(model, CONFIG)
        stepper = Stepper(model, optimizer, CONFIG, Execution(precision=precision), ranks)
        generator = torch.Generator().manual_seed(1)
        rows = rank_rows(CONFIG.batch_size, ranks.rank, ranks.size)
        seconds, loss = [], 0.0
        for number in range(WARM_UP + steps):
            size = (CONFIG.batch_size, SHAPE.context_length + 1)
            ids = torch.randint(SHAPE.vocab_size, size, generator=generator)[rows]
            ranks.wait()
            start = time.perf_counter()
            slope = stepper.compute_gradients(Batch(ids[:, :-1], ids[:, 1:]), number)
            stepper.apply(1e-3)
            [loss] = ranks.sum([float(slope.loss)])
            seconds.append(time.perf_counter() - start)
        if ranks.is_first:
            print(json.dumps({"seconds": seconds[WARM_UP:], "loss": loss}))


def run(way: str, steps: int, precision: str) -> dict:
    """What the first of a fresh set of ranks printed."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    shared = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {"WORLD_SIZE": str(WAYS[way])}
    command = [sys.executable, __file__, "--way", way]
    command += ["--steps", str(steps), "--precision", precision]
    ranks = [
        subprocess.Popen(command, env=shared | {"RANK": str(rank)}, stdout=subprocess.PIPE)
        for rank in range(WAYS[way])
    ]
    outputs = [rank.communicate()[0] for rank in ranks]
    assert not any(rank.returncode for rank in ranks), f"a rank of {way} failed"
    return json.loads(outputs[0])


def main() -> None:
    """Times all three in turn and prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--precision", choices=list(BOUND), default="fp32")
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.way:
        return train(told.way, told.steps, told.precision)
    speeds: dict[str, list[float]] = {way: [] for way in WAYS}
    tokens = CONFIG.batch_size * SHAPE.context_length
    for _ in range(told.rounds):
        losses = {}
        for way in WAYS:
            result = run(way, told.steps, told.precision)
            losses[way] = result["loss"]
            speeds[way].append(tokens / statistics.median(result["seconds"]))
        spread = max(losses.values()) - min(losses.values())
        assert spread < BOUND[told.precision] * losses["one process"], losses
    alone = statistics.median(speeds["one process"])
    print(
        f"torch {torch.__version__}, {told.precision}, {told.rounds} rounds of {told.steps} steps"
    )
    for way, of_rounds in speeds.items():
        median = statistics.median(of_rounds)
        print(
            f"{way:12} {median:9,.0f} tokens/s ({min(of_rounds):,.0f} to {max(of_rounds):,.0f}),"
            f" {median / alone:.3f} of one process"
        )


if __name__ == "__main__":
    main()
