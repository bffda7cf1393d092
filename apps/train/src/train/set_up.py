"""What is decided before the first step of a run: the model, how it is computed, how long."""

import platform
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from nnparts import TransformerConfig, TransformerLM
from sample import pick_device
from trainkit import Execution, choose_execution, rehearse, start_from_bigrams

from train.changes import Change
from train.config import RunConfig
from train.data import RunData
from train.directories import asked, write_record
from train.loggers import drawing_loggers
from train.other_work import warn_of_other_work

Report = Callable[[str], None]

# A run of minutes is rehearsed twice: a few updates tell how many would fit, and of those a share
# is made. The median of 5 was 141 ms, of 1,077 that followed in the run 155.
_FIRST = 5
_REHEARSED = 0.02


def build_model(
    config: RunConfig, record: dict[str, Any] | None, changes: Sequence[Change], data: RunData
) -> TransformerLM:
    """The untrained model: of a new run as `config` has it, of an old one as it was recorded."""
    if record is None:
        shape, device = config.model.with_vocabulary(data.vocab_size), config.device
    else:
        shape = TransformerConfig.from_dict(record["model"])
        device = _old_device(config, record, changes)
    # Drawn on the CPU, so that a seed means the same weights on every device.
    generator = torch.Generator().manual_seed(config.training.seed)
    model = TransformerLM(shape, generator=generator)
    model.checkpoint_blocks(config.checkpoint_blocks)
    _start_tied(model)
    return model.to(pick_device(device))


def _old_device(config: RunConfig, record: dict[str, Any], changes: Sequence[Change]) -> str:
    """Where a run goes on: what "auto" was when it began, unless it is asked anew."""
    if config.device != "auto" or any(each.field == "device" for each in changes):
        return config.device
    # Records of before have the number of the first rank's GPU ("cuda:0"), which is no other's.
    return torch.device(record["execution"]["device"]).type


@dataclass(frozen=True)
class RunParts:
    """What a run is made of before its first step."""

    model: TransformerLM
    data: RunData
    directory: Path
    report: Report
    num_ranks: int


def begin(config: RunConfig, run: RunParts, begun: float) -> tuple[RunConfig, Execution]:
    """Writes the tokenizer of a new run and its record into its directory, which is claimed.

    Returns:
        `config`, with the updates that its minutes since `begun` are enough for, and how it is
        computed.
    """
    end = None if config.minutes is None else begun + 60 * config.minutes
    warn_of_other_work(next(run.model.parameters()).device, run.report)
    run.report(f"model       {sum(p.numel() for p in run.model.parameters()):,} parameters")
    execution = _choose(config, run, end)
    _start_from_bigrams(config, run, execution)
    if end is not None:
        config = _fill_time(config, run, execution, end)
        run.report(f"updates     {config.training.max_steps:,} in {config.minutes:g} minutes")
    run.data.tokenizer.save(run.directory / "tokenizer.json")
    write_record(run.directory, _record(config, run, execution))
    run.report(f"run         {run.directory}")
    return config, execution


def resume(
    config: RunConfig, run: RunParts, record: dict[str, Any], changes: Sequence[Change]
) -> tuple[RunConfig, Execution]:
    """What `begin` gave when the run began, but for what `changes`."""
    _compare_threads(record, run)
    device = next(run.model.parameters()).device
    warn_of_other_work(device, run.report)
    execution = Execution(**record["execution"] | {"device": device.type})
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
        execution = _choose(replace(config, **kept), run)
    if not (run.directory / "checkpoints" / "latest").exists():  # killed before its first one
        _start_from_bigrams(config, run, execution)
    return config, execution


def _choose(config: RunConfig, run: RunParts, end: float | None = None) -> Execution:
    """What `config` names, and what is measured to be fastest where it says "auto".

    Compiling is weighed for the updates that fit until `end`, or for `max_steps` of them.
    """
    training, device = config.training, next(run.model.parameters()).device
    batch = run.data.train.batch(
        training.seed, 0, training.micro_batch_size, run.model.config.context_length, device
    )
    passes = training.max_steps * training.gradient_accumulation_steps
    choice = choose_execution(
        run.model,
        batch,
        passes=passes if end is None else None,
        planned_seconds=None if end is None else _seconds_until(end),
        precision=config.precision,
        compile=_may_compile(config, run.num_ranks),
        sequences_at_once="auto" if config.sequences_at_once is None else config.sequences_at_once,
        peak_flops=config.peak_flops,
    )
    run.report(choice.summary)
    return choice.execution


def _may_compile(config: RunConfig, num_ranks: int) -> bool | Literal["auto"]:
    if config.compile == "auto" and config.parallel == "fsdp" and num_ranks > 1:
        return False
    return "auto" if config.compile == "auto" else config.compile == "on"


def _fill_time(config: RunConfig, run: RunParts, execution: Execution, end: float) -> RunConfig:
    """The same with as many updates as fit into the time that rehearsals leave until `end`."""
    training = config.training

    def fitting(rehearsed: int) -> int:
        pace = rehearse(
            run.model,
            run.data.train,
            run.data.valid,
            training,
            execution,
            updates=rehearsed,
            directory=run.directory,
            make_loggers=partial(drawing_loggers, data=run.data, model=run.model),
        )
        return pace.updates_within(_seconds_until(end), training.eval_every)

    updates = fitting(_FIRST)
    longer = round(_REHEARSED * updates)
    if longer > _FIRST:
        updates = fitting(longer)
    return replace(config, training=replace(training, max_steps=updates))


def _seconds_until(end: float) -> float:
    """What is left until `end`, by time.perf_counter; 0 after it."""
    return max(0.0, end - time.perf_counter())


def _compare_threads(record: dict[str, Any], run: RunParts) -> None:
    """Tells where a run will not be, bit for bit, what it would have been."""
    began = record["made_with"].get("ranks", run.num_ranks)  # which older records do not tell
    if run.num_ranks != began:
        run.report(
            f"[yellow]warning[/]     the run began on {began} ranks and goes on on {run.num_ranks}:"
            " its numbers will differ in their last bits"
        )
    before, now = record["made_with"]["threads"], torch.get_num_threads()
    if now != before:
        run.report(
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


def _start_from_bigrams(config: RunConfig, run: RunParts, execution: Execution) -> None:
    if config.bigram_updates:
        loss = start_from_bigrams(
            run.model,
            run.data.train,
            updates=config.bigram_updates,
            precision=execution.precision,
            look_back_heads=config.look_back_heads,
            copying_head=config.copying_head,
        )
        run.report(f"bigrams     {config.bigram_updates} updates, loss {loss:.3f} nats a token")


def _record(config: RunConfig, run: RunParts, execution: Execution) -> dict[str, Any]:
    return {
        "format": "groundup-run",
        "version": 1,
        # Not the directory's name: two machines, two sweeps and a run done again share those.
        "id": uuid.uuid4().hex[:12],
        "asked": asked(config),
        "model": run.model.config.to_dict(),
        "execution": vars(execution),
        "tokenizer_hash": run.data.tokenizer.fingerprint,
        "source_entropy": run.data.entropy,
        "begun": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "made_with": {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": platform.platform(),
            "threads": torch.get_num_threads(),
            "ranks": run.num_ranks,
        },
    }
