"""A run from its beginning or its latest checkpoint to its result."""

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from nnparts import TransformerConfig, TransformerLM
from rich.console import Console
from sample import pick_device
from trainkit import (
    ConsoleLogger,
    CsvLogger,
    DamagedCheckpointError,
    Execution,
    Logger,
    ReportLogger,
    TensorboardLogger,
    Trainer,
    WandbLogger,
    choose_execution,
    make_optimizer,
    start_from_bigrams,
    updates_within,
)

from train.changes import Change, read_changes, record_changes
from train.config import RunConfig
from train.curve import CurveLogger
from train.data import RunData, open_data, ready_data
from train.directories import asked, new_directory, old_directory, read_record, write_record
from train.result import RunResult, evaluate_run, write_result
from train.samples import SampleLogger

Report = Callable[[str], None]


def train(config: RunConfig, console: Console) -> RunResult:
    """Does what `config` says and returns what came of it.

    Raises:
        ValueError: Settings, data, tokenizer and model that do not fit together.
        FileNotFoundError: Data, or the run to resume, is not there.
        OSError: The disk is full; the checkpoints before are whole.
        AnomalyError: The loss is no number any more, or a spike, and the run is to stop for it.
        KeyboardInterrupt: Ctrl-C, after a checkpoint was written.
    """
    directory = old_directory(config.out) if config.resume else new_directory(config)
    data_directory = ready_data(config, console.print)
    owner = directory if config.resume else data_directory
    data = open_data(
        data_directory,
        owner / "tokenizer.json",
        separate_documents=config.separate_documents,
    )
    changes = read_changes(config, directory) if config.resume else []
    if config.resume:
        model, execution = _resume(config, changes, directory, data, console.print)
    else:
        config, model, execution = _begin(config, directory, data, console.print)
    optimizer = make_optimizer(model, config.training)
    trainer = Trainer(
        model,
        optimizer,
        data.train,
        data.valid,
        config.training,
        run_dir=directory,
        execution=execution,
        loggers=_loggers(config, directory, data, model, console),
    )
    if config.resume:
        _go_on(trainer, config, changes, console.print)
    trainer.train()
    result = evaluate_run(trainer, data, directory)
    write_result(result)
    return result


def _begin(
    config: RunConfig, directory: Path, data: RunData, report: Report
) -> tuple[RunConfig, TransformerLM, Execution]:
    begun = time.perf_counter()
    device = pick_device(config.device)
    shape = config.model.with_vocabulary(data.vocab_size)
    model = _build(shape, config, device)
    report(f"model       {sum(p.numel() for p in model.parameters()):,} parameters")
    if config.minutes is not None:  # a guess, by which compiling is weighed
        config = _fill_time(config, model, data, Execution(str(device)), begun)
    execution = _choose(config, model, data, report)
    _start_from_bigrams(config, model, data, execution, report)
    if config.minutes is not None:
        config = _fill_time(config, model, data, execution, begun)
        report(f"updates     {config.training.max_steps:,} in {config.minutes:g} minutes")
    directory.mkdir(parents=True, exist_ok=True)
    data.tokenizer.save(directory / "tokenizer.json")
    write_record(directory, _record(config, shape, execution, data))
    report(f"run         {directory}")
    return config, model, execution


def _resume(
    config: RunConfig,
    changes: Sequence[Change],
    directory: Path,
    data: RunData,
    report: Report,
) -> tuple[TransformerLM, Execution]:
    record = read_record(directory)
    _compare_threads(record, report)
    execution = Execution(**record["execution"])
    changed = {each.field for each in changes}
    device = pick_device(config.device if "device" in changed else execution.device)
    shape = TransformerConfig.from_dict(record["model"])
    model = _build(shape, config, device)
    if changed & {"device", "precision", "compile", "peak_flops"}:
        # What was not asked anew stays as it was chosen, even where it was measured.
        kept: dict[str, Any] = {}
        if "precision" not in changed:
            kept["precision"] = execution.precision
        if "compile" not in changed:
            kept["compile"] = "on" if execution.compile else "off"
        execution = _choose(replace(config, **kept), model, data, report)
    return model, execution


def _choose(config: RunConfig, model: TransformerLM, data: RunData, report: Report) -> Execution:
    """What `config` names, and what is measured to be fastest where it says "auto"."""
    training, device = config.training, next(model.parameters()).device
    batch = data.train.batch(
        training.seed, 0, training.micro_batch_size, model.config.context_length, device
    )
    choice = choose_execution(
        model,
        batch,
        passes=training.max_steps * training.gradient_accumulation_steps,
        precision=config.precision,
        compile="auto" if config.compile == "auto" else config.compile == "on",
        peak_flops=config.peak_flops,
    )
    report(choice.summary)
    return choice.execution


def _fill_time(
    config: RunConfig, model: TransformerLM, data: RunData, execution: Execution, begun: float
) -> RunConfig:
    """The same with as many updates as the time that is left is enough for."""
    assert config.minutes is not None
    training = config.training
    batch = data.train.batch(
        training.seed, 0, training.batch_size, model.config.context_length, execution.device
    )
    left = 60 * config.minutes - (time.perf_counter() - begun)
    updates = updates_within(left, model, batch, training, execution)
    return replace(config, training=replace(training, max_steps=updates))


def _go_on(trainer: Trainer, config: RunConfig, changes: Sequence[Change], report: Report) -> None:
    """Puts the latest checkpoint into `trainer`, and what changed into the run's record."""
    try:
        step = trainer.resume(fall_back=config.fall_back, retune=True)
    except DamagedCheckpointError as error:
        if config.fall_back:
            raise
        raise DamagedCheckpointError(
            f"{error}: --resume --fall-back goes on from the one before"
        ) from error
    report(f"resume      {trainer.run_dir} from step {step:,}")
    if changes:
        record_changes(trainer.run_dir, config, changes, trainer.execution, step)
        report(f"changed     {'; '.join(map(str, changes))}")


def _compare_threads(record: dict[str, Any], report: Report) -> None:
    """Tells where a run will not be, bit for bit, what it would have been."""
    before, now = record["made_with"]["threads"], torch.get_num_threads()
    if now != before:
        report(
            f"[yellow]warning[/]     the run began with {before} threads and goes on with {now}:"
            f" its numbers will differ in their last bits; OMP_NUM_THREADS={before} keeps them"
        )


def _build(shape: TransformerConfig, config: RunConfig, device: torch.device) -> TransformerLM:
    # Drawn on the CPU, so that a seed means the same weights on every device.
    generator = torch.Generator().manual_seed(config.training.seed)
    model = TransformerLM(shape, generator=generator)
    model.checkpoint_blocks(config.checkpoint_blocks)
    _start_tied(model)
    return model.to(device)


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
            model, data.train, updates=config.bigram_updates, precision=execution.precision
        )
        report(f"bigrams     {config.bigram_updates} updates, loss {loss:.3f} nats a token")


def _record(
    config: RunConfig, shape: TransformerConfig, execution: Execution, data: RunData
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
        },
    }


def _loggers(
    config: RunConfig, directory: Path, data: RunData, model: TransformerLM, console: Console
) -> list[Logger]:
    loggers: list[Logger] = [
        ConsoleLogger(console, config.training.max_steps),
        CurveLogger(directory, entropy=data.entropy),
        SampleLogger(directory, model, data.tokenizer),
        ReportLogger(directory),  # after the sample that it shows
    ]
    if config.csv:
        loggers.append(CsvLogger(directory))
    if config.tensorboard:
        loggers.append(TensorboardLogger(directory / "tensorboard"))
    if config.wandb:
        loggers.append(WandbLogger(directory, run_id=directory.name, config=asked(config)))
    return loggers
