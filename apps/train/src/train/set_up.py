"""What is decided before the first step of a run: the model, how it is computed, how long."""

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from nnparts import TransformerConfig, TransformerLM
from sample import pick_device
from trainkit import (
    Execution,
    choose_execution,
    rehearse,
    start_from_bigrams,
    updates_within,
)

from train.changes import Change
from train.config import RunConfig
from train.data import RunData
from train.directories import asked, write_record
from train.loggers import drawing_loggers
from train.other_work import warn_of_other_work

Report = Callable[[str], None]

# Of the updates that the time would be enough for. The median of 5 was 141 ms, of 1,077 that
# followed in the run 155: so more are made, as the run makes them.
_REHEARSED = 0.02


def build_model(
    config: RunConfig, record: dict[str, Any] | None, changes: Sequence[Change], data: RunData
) -> TransformerLM:
    """The untrained model: of a new run as `config` has it, of an old one as it was recorded."""
    if record is None:
        shape, device = config.model.with_vocabulary(data.vocab_size), config.device
    else:
        shape, device = TransformerConfig.from_dict(record["model"]), record["execution"]["device"]
        if any(each.field == "device" for each in changes):
            device = config.device
    # Drawn on the CPU, so that a seed means the same weights on every device.
    generator = torch.Generator().manual_seed(config.training.seed)
    model = TransformerLM(shape, generator=generator)
    model.checkpoint_blocks(config.checkpoint_blocks)
    _start_tied(model)
    return model.to(pick_device(device))


def begin(
    begun: float,
    config: RunConfig,
    model: TransformerLM,
    directory: Path,
    data: RunData,
    report: Report,
    num_ranks: int = 1,
) -> tuple[RunConfig, Execution]:
    """Makes the directory of a new run, with its tokenizer and its record.

    Returns:
        `config`, with the updates that its minutes since `begun` are enough for, and how it is
        computed.
    """
    warn_of_other_work(next(model.parameters()).device, report)
    report(f"model       {sum(p.numel() for p in model.parameters()):,} parameters")
    execution = _choose(config, model, data, report, num_ranks, _seconds_left(config, begun))
    if config.minutes is not None:  # a guess, by which the rehearsal's length is told
        config = _guess_updates(config, model, data, execution, begun)
    _start_from_bigrams(config, model, data, execution, report)
    directory.mkdir(parents=True, exist_ok=True)
    if config.minutes is not None:
        config = _fill_time(config, model, directory, data, execution, begun)
        report(f"updates     {config.training.max_steps:,} in {config.minutes:g} minutes")
    data.tokenizer.save(directory / "tokenizer.json")
    write_record(directory, _record(config, model.config, execution, data, num_ranks))
    report(f"run         {directory}")
    return config, execution


def resume(
    record: dict[str, Any],
    changes: Sequence[Change],
    config: RunConfig,
    model: TransformerLM,
    directory: Path,
    data: RunData,
    report: Report,
    num_ranks: int = 1,
) -> tuple[RunConfig, Execution]:
    """What `begin` gave when the run began, but for what `changes`."""
    _compare_threads(record, report, num_ranks)
    warn_of_other_work(next(model.parameters()).device, report)
    execution = Execution(**record["execution"])
    changed = {each.field for each in changes}
    if changed & {"device", "precision", "compile", "peak_flops", "sequences_at_once"}:
        # What was not asked anew stays as it was chosen, even where it was measured.
        kept: dict[str, Any] = {}
        if "precision" not in changed:
            kept["precision"] = execution.precision
        if "compile" not in changed:
            kept["compile"] = "on" if execution.compile else "off"
        if "sequences_at_once" not in changed:
            whole = config.training.micro_batch_size
            kept["sequences_at_once"] = execution.sequences_at_once or whole
        execution = _choose(replace(config, **kept), model, data, report, num_ranks)
    if not (directory / "checkpoints" / "latest").exists():  # it was killed before its first one
        _start_from_bigrams(config, model, data, execution, report)
    return config, execution


def _choose(
    config: RunConfig,
    model: TransformerLM,
    data: RunData,
    report: Report,
    num_ranks: int,
    planned_seconds: float | None = None,
) -> Execution:
    """What `config` names, and what is measured to be fastest where it says "auto".

    Compiling is weighed for the updates that the time is enough for, or for `max_steps` of them.
    """
    training, device = config.training, next(model.parameters()).device
    batch = data.train.batch(
        training.seed, 0, training.micro_batch_size, model.config.context_length, device
    )
    passes = training.max_steps * training.gradient_accumulation_steps
    choice = choose_execution(
        model,
        batch,
        passes=passes if planned_seconds is None else None,
        planned_seconds=planned_seconds,
        precision=config.precision,
        compile=_may_compile(config, num_ranks),
        sequences_at_once="auto" if config.sequences_at_once is None else config.sequences_at_once,
        peak_flops=config.peak_flops,
    )
    report(choice.summary)
    return choice.execution


def _may_compile(config: RunConfig, num_ranks: int) -> bool | Literal["auto"]:
    if config.compile == "auto" and config.parallel == "fsdp" and num_ranks > 1:
        return False
    return "auto" if config.compile == "auto" else config.compile == "on"


def _guess_updates(
    config: RunConfig, model: TransformerLM, data: RunData, execution: Execution, begun: float
) -> RunConfig:
    """The same with about as many updates as the time that is left is enough for."""
    training, seconds = config.training, _seconds_left(config, begun)
    assert seconds is not None
    batch = data.train.batch(
        training.seed, 0, training.batch_size, model.config.context_length, execution.device
    )
    updates = updates_within(seconds, model, batch, training, execution)
    return replace(config, training=replace(training, max_steps=updates))


def _fill_time(
    config: RunConfig,
    model: TransformerLM,
    directory: Path,
    data: RunData,
    execution: Execution,
    begun: float,
) -> RunConfig:
    """The same with as many updates as fit into the time that a rehearsal leaves."""
    training = config.training
    pace = rehearse(
        model,
        data.train,
        data.valid,
        training,
        execution,
        updates=max(5, round(_REHEARSED * training.max_steps)),
        directory=directory,
        make_loggers=partial(drawing_loggers, data=data, model=model),
    )
    seconds = _seconds_left(config, begun)
    assert seconds is not None
    updates = pace.updates_within(seconds, training.eval_every)
    return replace(config, training=replace(training, max_steps=updates))


def _seconds_left(config: RunConfig, begun: float) -> float | None:
    """Of the time that the run may take; None where it may take any."""
    if config.minutes is None:
        return None
    return max(0.0, 60 * config.minutes - (time.perf_counter() - begun))


def _compare_threads(record: dict[str, Any], report: Report, num_ranks: int) -> None:
    """Tells where a run will not be, bit for bit, what it would have been."""
    began = record["made_with"].get("ranks", num_ranks)  # which older records do not tell
    if num_ranks != began:
        report(
            f"[yellow]warning[/]     the run began on {began} ranks and goes on on {num_ranks}: its"
            " numbers will differ in their last bits"
        )
    before, now = record["made_with"]["threads"], torch.get_num_threads()
    if now != before:
        report(
            f"[yellow]warning[/]     the run began with {before} threads and goes on with {now}:"
            f" its numbers will differ in their last bits; OMP_NUM_THREADS={before} keeps them"
        )


def _start_tied(model: TransformerLM) -> None:
    """Lets the output matrix begin as the embeddings, scaled to its own deviation.

    What attention finds in the context then points at the same word in the output from the first
    step: after 1.5 M tokens of stories the loss was 25 % above the source's entropy, and 35 %
    where both were drawn apart. From then on they are learned apart.
    """
    embeddings, output = model.token_embeddings.weight, model.lm_head.weight
    with torch.no_grad():
        output.copy_(embeddings * (output.std() / embeddings.std()))


def _start_from_bigrams(
    config: RunConfig, model: TransformerLM, data: RunData, execution: Execution, report: Report
) -> None:
    if config.bigram_updates:
        loss = start_from_bigrams(
            model,
            data.train,
            updates=config.bigram_updates,
            precision=execution.precision,
            look_back_heads=config.look_back_heads,
            copying_head=config.copying_head,
        )
        report(f"bigrams     {config.bigram_updates} updates, loss {loss:.3f} nats a token")


def _record(
    config: RunConfig,
    shape: TransformerConfig,
    execution: Execution,
    data: RunData,
    num_ranks: int,
) -> dict[str, Any]:
    return {
        "format": "groundup-run",
        "version": 1,
        "asked": asked(config),
        "model": shape.to_dict(),
        "execution": vars(execution),
        "tokenizer_hash": data.tokenizer.fingerprint,
        "source_entropy": data.entropy,
        "begun": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "made_with": {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": platform.platform(),
            "threads": torch.get_num_threads(),
            "ranks": num_ranks,
        },
    }
