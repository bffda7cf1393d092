"""A step of each optimizer, and clipping, side by side with torch's, in one run.

    uv run python packages/optimkit/benches/step.py --rounds 30

The tensors are those of the CS336 TinyStories model, 22.7 M parameters. Each contender first takes
ten steps, which must leave the weights that torch's plain loop leaves; then every one has its turn
in each round, in an order drawn anew. Printed is a report in Markdown.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import torch
from optimkit import SGD, AdamW, Lion, Muon, clip_grad_norm_
from torch import Tensor, nn
from torch.optim import Optimizer

sys.path.insert(0, str(Path(__file__).parents[3] / "benches"))
from measuring import commit, memory_gib, processor, spread

VOCAB_SIZE, D_MODEL, D_FF, NUM_LAYERS = 10_000, 512, 1_344, 4
PROVING_STEPS = 10
LEGEND = """\
Milliseconds a step: median, with the least and the most, of all rounds. Ratio: the best peer's
median over ours, above 1 where ours is faster. Difference: the greatest of any weight (clipping: of
any gradient) from the first contender's, in the unit of `lr` (of the limit), before anything was
timed."""

Parameters = list[nn.Parameter]


@dataclass(frozen=True)
class Work:
    """Contenders by name, the truth first, ours those whose name begins with "ours".

    `make` gives what is to be timed; `tolerance` is what ten steps may differ by.
    """

    contenders: Mapping[str, Callable[[Parameters], Callable[[], object]]]
    tolerance: float
    restores_gradients: bool = False
    only_matrices: bool = False


def shapes() -> Iterator[tuple[int, ...]]:
    """The parameters of the model, in its order."""
    square, up, gain = (D_MODEL, D_MODEL), (D_FF, D_MODEL), (D_MODEL,)
    yield VOCAB_SIZE, D_MODEL
    for _ in range(NUM_LAYERS):
        yield from (gain, square, square, square, square, gain, up, up[::-1], up)
    yield from (gain, (VOCAB_SIZE, D_MODEL))


def parameters(*, only_matrices: bool) -> Parameters:
    """Weights and gradients of training's size; for `only_matrices` the hidden ones alone."""
    generator = torch.Generator().manual_seed(0)
    made: Parameters = []
    for shape in shapes():
        if only_matrices and (len(shape) < 2 or VOCAB_SIZE in shape):
            continue
        made.append(nn.Parameter(0.02 * torch.randn(shape, generator=generator)))
        made[-1].grad = 0.01 * torch.randn(shape, generator=generator)
    return made


def step_of(make: Callable[[Parameters], Optimizer]) -> Callable[[Parameters], Callable[[], None]]:
    """A step of the optimizer over the parameters."""
    return lambda parameters: make(parameters).step


def clip_by(clip: Callable[[Parameters, float], Tensor], share: float):
    """Clipping to a `share` of the norm, so that it acts below 1 and does not above."""

    def prepare(parameters: Parameters) -> Callable[[], Tensor]:
        norm = math.sqrt(sum(p.grad.double().square().sum().item() for p in parameters))
        return lambda: clip(parameters, share * norm)

    return prepare


def clipping(share: float) -> Work:
    """Ours and torch's with and without its lists of tensors."""
    theirs = nn.utils.clip_grad_norm_
    loop = clip_by(lambda p, limit: theirs(p, limit, foreach=False), share)
    foreach = clip_by(lambda p, limit: theirs(p, limit, foreach=True), share)
    contenders = {
        "torch loop": loop,
        "torch foreach": foreach,
        "ours": clip_by(clip_grad_norm_, share),
    }
    # 1e-4 of the limit: torch's norm of 23 M elements is wrong by 5e-5.
    return Work(contenders, tolerance=1e-4, restores_gradients=True)


def torchs(kind: type[Optimizer], *hows: str, **options: object):
    """Torch's optimizer, in each way that it can be computed."""
    return {
        f"torch {how}": step_of(lambda p, how=how: kind(p, lr=LR, foreach=False, **options))
        if how == "loop"
        else step_of(lambda p, how=how: kind(p, lr=LR, **{how: True}, **options))
        for how in hows
    }


LR = 1e-3
WORKS = {
    "AdamW": Work(
        torchs(torch.optim.AdamW, "loop", "foreach", "fused")
        | {
            "ours": step_of(lambda p: AdamW(p, lr=LR)),
            "ours, reference": step_of(lambda p: AdamW(p, lr=LR, impl="reference")),
        },
        # Ten steps of lr, each right to some ten roundings of fp32, of weights up to 0.1 = 100 lr.
        tolerance=1e-3,
    ),
    "SGD with momentum": Work(
        torchs(torch.optim.SGD, "loop", "foreach", "fused", momentum=0.9)
        | {"ours": step_of(lambda p: SGD(p, lr=LR, momentum=0.9))},
        tolerance=1e-3,
    ),
    # torch has no Lion; that ours is right, the tests prove.
    "Lion": Work({"ours": step_of(lambda p: Lion(p, lr=LR))}, tolerance=0.0),
    "Muon, 12.5 M hidden": Work(
        {
            "torch": step_of(lambda p: torch.optim.Muon(p, lr=LR)),
            "ours": step_of(lambda p: Muon(p, lr=LR, adjust_lr_fn="original")),
            "ours, fp32": step_of(
                lambda p: Muon(p, lr=LR, adjust_lr_fn="original", precision="fp32")
            ),
        },
        # bf16 has 8 bits: each step is right to some 2^-8 of its greatest element, below 0.5 lr.
        tolerance=10 * 0.5 * 2**-6,
        only_matrices=True,
    ),
    "clip_grad_norm_, acting": clipping(0.9),
    "clip_grad_norm_, within the limit": clipping(1.1),
}


def result(work: Work, name: str) -> list[Tensor]:
    """What a contender leaves after ten steps, or one clipping."""
    made = parameters(only_matrices=work.only_matrices)
    act = work.contenders[name](made)
    for _ in range(1 if work.restores_gradients else PROVING_STEPS):
        act()
    return [(p.grad if work.restores_gradients else p).detach() for p in made]


def prove(work: Work) -> dict[str, float]:
    """The greatest difference of each contender from the first.

    Raises:
        AssertionError: it is above the work's tolerance.
    """
    truth, *others = work.contenders
    expected = result(work, truth)
    differences: dict[str, float] = {}
    for name in others:
        pairs = zip(result(work, name), expected, strict=True)
        differences[name] = max((ours - theirs).abs().max().item() for ours, theirs in pairs)
        if not work.restores_gradients:
            differences[name] /= LR
        if differences[name] > work.tolerance:
            raise AssertionError(f"{name} differs by {differences[name]:.2g} from {truth}")
    return differences


def measure(work: Work, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each contender in each round, after one to warm up."""
    made = parameters(only_matrices=work.only_matrices)
    gradients = [p.grad.clone() for p in made]
    acts = {name: prepare(made) for name, prepare in work.contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in acts}
    draw = random.Random(0)
    for turn in range(1 + rounds):
        for name in draw.sample(list(acts), len(acts)):
            if work.restores_gradients:
                for parameter, gradient in zip(made, gradients, strict=True):
                    parameter.grad.copy_(gradient)
            start = time.perf_counter()
            acts[name]()
            elapsed = time.perf_counter() - start
            if turn > 0:
                times[name].append(1e3 * elapsed)
    return times


def ratio(times: dict[str, list[float]]) -> str:
    """The best peer against ours, by medians."""
    peers = {name: median(values) for name, values in times.items() if not name.startswith("ours")}
    if not peers:
        return ""
    best = min(peers, key=peers.__getitem__)
    return f"**{peers[best] / median(times['ours']):.2f}** ({best})"


def rows(names: list[str], rounds: int) -> Iterator[str]:
    """A line for each contender of each work."""
    yield "| work | contender | ms | difference | ratio to the best peer |"
    yield "| --- | --- | --- | --- | --- |"
    for name in names:
        differences = prove(WORKS[name])
        times = measure(WORKS[name], rounds)
        for contender, values in times.items():
            gain = ratio(times) if contender == "ours" else ""
            difference = f"{differences[contender]:.1e}" if contender in differences else ""
            yield f"| {name} | {contender} | {spread(values)} | {difference} | {gain} |"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"{datetime.now(UTC):%Y-%m-%d}. {processor()}, {os.cpu_count()} cores, "
        f"{memory_gib():.0f} GB; Python {platform.python_version()}, torch {torch.__version__}, "
        f"{options.threads} threads; load before it {os.getloadavg()[0]:.2f}; commit {commit()}.\n"
    )
    for line in rows(options.works, options.rounds):
        print(line, flush=True)
    print("\n" + LEGEND)


if __name__ == "__main__":
    main()
