"""What is measured: each work prepares once, then gives figures of one round at a time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optimkit
import torch
from engines import ENGINES, SHARPNESS, TS17M, Engine, reference_model
from nnparts.functional import chunked_cross_entropy, cross_entropy
from torch import Tensor, nn
from trainkit import Batch, choose_execution, precision_context

sys.path.insert(0, str(Path(__file__).parents[3] / "benches"))
from measuring import peak_rss_bytes

Figures = dict[str, float]
Round = Callable[[], Figures]
PROOF_STEPS, PROOF_ROWS = 20, 2
# Of the losses of twenty steps 4e-7 and 3e-5 were seen, of the loss's gradients in bf16 1e-3.
TOLERANCE, BF16_TOLERANCE = 1e-5, 3e-3


@dataclass(frozen=True)
class Job:
    """One contestant of one work: an engine and how it is run."""

    work: str
    engine: str
    batch_size: int = 32
    precision: str = "fp32"
    compile: bool = False
    in_parts: bool = False
    at_once: int | None = None
    new_tokens: int = 240


@dataclass(frozen=True)
class Work:
    """`prepare(job)` gives what it says of itself, and a round; `proof` is what is to be equal."""

    about: str
    unit: str
    contestants: dict[str, dict[str, Any]]
    prepare: Callable[[Job], tuple[str, Round]]
    prove: Callable[[Job], list[float]] | None = None
    tolerance: float = 0.0
    bf16_tolerance: float = 0.0
    """For contestants in bf16, or in what they measure to be fastest."""


def batch(rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random ids and what follows each."""
    generator = torch.Generator().manual_seed(seed)
    shape = (rows, TS17M.context_length + 1)
    ids = torch.randint(TS17M.vocab_size, shape, generator=generator)
    return ids[:, :-1].contiguous(), ids[:, 1:].contiguous()


def make_optimizer(engine: Engine, model: nn.Module) -> torch.optim.Optimizer:
    """Ours for ours; torch's fused one for the peers."""
    knobs = {"lr": 1e-3, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}
    if engine.module == "nnparts":
        return optimkit.AdamW(model.parameters(), **knobs)
    return torch.optim.AdamW(model.parameters(), fused=True, **knobs)


def training_step(job: Job, model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """Loss, gradients, clipping, update of the engine's model, as its user writes it."""
    engine = ENGINES[job.engine]
    optimizer = make_optimizer(engine, model)
    clip = optimkit.clip_grad_norm_ if engine.module == "nnparts" else nn.utils.clip_grad_norm_
    loss_of = torch.compile(engine.loss) if job.compile else engine.loss

    def step(inputs: Tensor, targets: Tensor) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        total, rows = torch.zeros(()), len(inputs)
        parts = (each.split(job.at_once or rows) for each in (inputs, targets))
        with precision_context(job.precision, "cpu"):
            for part_inputs, part_targets in zip(*parts, strict=True):
                loss = loss_of(model, part_inputs, part_targets) * (len(part_inputs) / rows)
                loss.backward()
                total += loss.detach()
        clip(model.parameters(), 1.0)
        optimizer.step()
        return total

    return step


def prove_step(job: Job) -> list[float]:
    """Losses of equal steps, computed as they are timed: precision, compiling, parts."""
    model = training_model(job)
    job, _ = as_timed(job, model)
    step = training_step(replace(job, at_once=1) if job.at_once else job, model)
    return [float(step(*batch(PROOF_ROWS, seed))) for seed in range(PROOF_STEPS)]


def training_model(job: Job) -> nn.Module:
    """The engine's model."""
    return ENGINES[job.engine].build(reference_model()).train()


def measured(job: Job, model: nn.Module) -> tuple[Job, str]:
    """Ours with all that `trainkit` measures, for a run of 10,000 steps."""
    chosen, summary = choose_execution(model, Batch(*batch(job.batch_size)), passes=10_000)
    job = replace(job, precision=chosen.precision, compile=chosen.compile)
    return replace(job, at_once=chosen.sequences_at_once), summary


def in_parts(job: Job, model: nn.Module) -> tuple[Job, str]:
    """Ours in its own precision, not compiled, with as many sequences at once as is measured."""
    chosen, summary = choose_execution(
        model,
        Batch(*batch(job.batch_size)),
        passes=10_000,
        precision=job.precision,
        compile=False,
    )
    return replace(job, at_once=chosen.sequences_at_once), summary


def as_timed(job: Job, model: nn.Module) -> tuple[Job, str]:
    """The job with what is to be measured first, on the model to be trained, and what was chosen.

    On the same model, as `train` does it: what is compiled to be timed is not compiled again.
    """
    if job.precision == "measured":
        return measured(job, model)
    return in_parts(job, model) if job.in_parts else (job, "")


def prepare_step(job: Job) -> tuple[str, Round]:
    """Tokens a second of one step, and the most memory since the choice was made."""
    model = training_model(job)
    job, said = as_timed(job, model)
    forget_peak()
    step, (inputs, targets) = training_step(job, model), batch(job.batch_size)
    step(inputs, targets)

    def one_round() -> Figures:
        start = time.perf_counter()
        step(inputs, targets)
        speed = inputs.numel() / (time.perf_counter() - start)
        return {"tokens/s": speed, "peak RSS, MB": peak_rss_bytes() / 1e6}

    return said, one_round


def forget_peak() -> None:
    """Makes what the process has now the most that it has had, where the system can (Linux)."""
    path = Path("/proc/self/clear_refs")
    if path.exists():
        path.write_text("5")


def with_gradients(engine: Engine) -> nn.Module:
    """A model whose parameters have gradients; any numbers will do."""
    model = engine.build(reference_model())
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator) * 1e-3
    return model


def milliseconds(call: Callable[[], object], count: int) -> Figures:
    """The mean of some calls."""
    start = time.perf_counter()
    for _ in range(count):
        call()
    return {"ms": 1e3 * (time.perf_counter() - start) / count}


def prepare_optimizer(job: Job) -> tuple[str, Round]:
    """One update of all parameters."""
    engine = ENGINES[job.engine]
    optimizer = make_optimizer(engine, with_gradients(engine))
    optimizer.step()
    return "", lambda: milliseconds(optimizer.step, 10)


def prepare_clip(job: Job) -> tuple[str, Round]:
    """The norm of all gradients, and their scaling."""
    engine = ENGINES[job.engine]
    parameters = list(with_gradients(engine).parameters())
    clip = optimkit.clip_grad_norm_ if engine.module == "nnparts" else nn.utils.clip_grad_norm_
    return "", lambda: milliseconds(lambda: clip(parameters, 1.0), 10)


def head_loss(job: Job) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The loss of hidden states: in chunks, from whole logits by ours, or by torch's."""
    if job.engine == "nnparts, chunked":
        return chunked_cross_entropy
    if job.engine == "nnparts":
        return lambda hidden, weight, targets: cross_entropy(hidden @ weight.T, targets)
    return lambda hidden, weight, targets: nn.functional.cross_entropy(
        nn.functional.linear(hidden, weight), targets
    )


def head_inputs(rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states, the head and targets."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(rows, TS17M.d_model, generator=generator).requires_grad_()
    weight = reference_model().lm_head.weight.detach().requires_grad_()
    return hidden, weight, torch.randint(TS17M.vocab_size, (rows,), generator=generator)


def prove_cross_entropy(job: Job) -> list[float]:
    """Loss, and norms of both gradients."""
    hidden, weight, targets = head_inputs(700)
    with precision_context(job.precision, "cpu"):
        loss = head_loss(job)(hidden, weight, targets)
        grads = torch.autograd.grad(loss, (hidden, weight))
    return [float(loss.detach()), *(float(grad.norm()) for grad in grads)]


def prepare_cross_entropy(job: Job) -> tuple[str, Round]:
    """Head, loss and both gradients; memory is what is added to what was there before."""
    loss_of = head_loss(job)
    hidden, weight, targets = head_inputs(job.batch_size * TS17M.context_length)
    forget_peak()
    before = peak_rss_bytes()

    def one_round() -> Figures:
        def call() -> object:
            with precision_context(job.precision, "cpu"):
                return torch.autograd.grad(loss_of(hidden, weight, targets), (hidden, weight))

        figures = milliseconds(call, 1)
        return figures | {"added RSS, MB": (peak_rss_bytes() - before) / 1e6}

    one_round()
    return "", one_round


def decoder(job: Job) -> tuple[Callable[[int, bool], Tensor], int]:
    """Continues a prompt of 8 tokens a row."""
    engine = ENGINES[job.engine]
    assert engine.generate is not None
    model = engine.build(reference_model(SHARPNESS)).eval()
    generator = torch.Generator().manual_seed(0)
    prompt = torch.randint(TS17M.vocab_size, (job.batch_size, 8), generator=generator)
    return lambda count, sampled: engine.generate(model, prompt, count, sampled), prompt.shape[1]


def prove_decoding(job: Job) -> list[float]:
    """The greedy ids, and that they are those of the whole sequence again for each token."""
    generate, start = decoder(job)
    ids = generate(64, False)
    ours = reference_model(SHARPNESS).eval()
    with torch.no_grad():
        again = ours(ids[:, :-1]).argmax(dim=-1)
    assert torch.equal(again[:, start - 1 :], ids[:, start:]), f"{job.engine}: other ids again"
    return [float(token_id) for token_id in ids.flatten()]


def prepare_decoding(sampled: bool) -> Callable[[Job], tuple[str, Round]]:
    """New tokens a second, all rows together."""

    def prepare(job: Job) -> tuple[str, Round]:
        generate, _ = decoder(job)
        generate(32, sampled)

        def one_round() -> Figures:
            start = time.perf_counter()
            generate(job.new_tokens, sampled)
            seconds = time.perf_counter() - start
            return {"tokens/s": job.batch_size * job.new_tokens / seconds}

        return "", one_round

    return prepare


OURS_AND_TRANSFORMERS = {"nnparts": {}, "transformers": {}}
DEFAULT = OURS_AND_TRANSFORMERS | {
    "nnparts, fp32-onednn": {"engine": "nnparts", "precision": "fp32-onednn"},
    "nnparts, fp32-onednn, in parts": {
        "engine": "nnparts",
        "precision": "fp32-onednn",
        "in_parts": True,
    },
    "litgpt": {},
}
BEST = {
    "nnparts, measured": {"engine": "nnparts", "precision": "measured"},
    "transformers, bf16": {"engine": "transformers", "precision": "bf16"},
    "transformers, compiled bf16": {
        "engine": "transformers",
        "precision": "bf16",
        "compile": True,
    },
    "transformers, compiled": {"engine": "transformers", "compile": True},
}
WHOLE = {"nnparts, chunked": {}, "nnparts": {}, "torch": {}}
DECODING = {
    f"{kind}, batch {rows}": Work(
        f"{rows} prompt(s) of 8 tokens, 240 new ones, {kind}",
        "tokens/s",
        {name: {"batch_size": rows} for name in OURS_AND_TRANSFORMERS},
        prepare_decoding(kind == "sampled"),
        prove_decoding,
    )
    for rows in (1, 8)
    for kind in ("greedy", "sampled")
}
WORKS = {
    "step": Work(
        "a training step as it comes: fp32, not compiled",
        "tokens/s",
        DEFAULT,
        prepare_step,
        prove_step,
        tolerance=TOLERANCE,
        bf16_tolerance=BF16_TOLERANCE,
    ),
    "best step": Work(
        "a training step at its best: ours as measured at start-up, the peers in each way",
        "tokens/s",
        BEST,
        prepare_step,
        prove_step,
        tolerance=TOLERANCE,
        bf16_tolerance=BF16_TOLERANCE,
    ),
    "AdamW": Work("22.7 M parameters", "ms", OURS_AND_TRANSFORMERS, prepare_optimizer),
    "clip": Work("their gradients", "ms", OURS_AND_TRANSFORMERS, prepare_clip),
    "cross-entropy": Work(
        "head and loss over 10,000 classes with both gradients, fp32",
        "ms",
        WHOLE,
        prepare_cross_entropy,
        prove_cross_entropy,
        tolerance=1e-4,
    ),
    "cross-entropy, bf16": Work(
        "the same under autocast",
        "ms",
        {name: {"precision": "bf16"} for name in WHOLE},
        prepare_cross_entropy,
        prove_cross_entropy,
        bf16_tolerance=BF16_TOLERANCE,
    ),
    **DECODING,
}
