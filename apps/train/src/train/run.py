"""A run from its beginning or its latest checkpoint to its result."""

import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from nnparts import TransformerConfig, TransformerLM
from rich.console import Console
from sample import pick_device
from trainkit import (
    ConsoleLogger,
    CsvLogger,
    Execution,
    Logger,
    Ranks,
    ReportLogger,
    TensorboardLogger,
    Trainer,
    WandbLogger,
    make_optimizer,
    rank_rows,
)

from train.config import RunConfig
from train.curve import CurveLogger
from train.data import RunData, open_data, ready_data
from train.directories import asked, new_directory, old_directory, read_record, write_record
from train.execution import choose_execution
from train.result import RunResult, evaluate_run, write_result
from train.samples import SampleLogger

Report = Callable[[str], None]


def train(config: RunConfig, console: Console, ranks: Ranks | None = None) -> RunResult:
    """Does what `config` says and returns what came of it.

    Args:
        config: What to do.
        console: Where it is told.
        ranks: Who does it, all with the same `config`; the first makes and writes what the others
            read. None: this process alone.

    Raises:
        ValueError: Settings, data, tokenizer and model that do not fit together, or ranks that
            cannot have equal parts of a batch.
        FirstRankFailedError: Not on the first rank, which raises what it met.
        FileNotFoundError: Data, or the run to resume, is not there.
        OSError: The disk is full; the checkpoints before are whole.
        AnomalyError: The loss is no number any more, or a spike, and the run is to stop for it.
        KeyboardInterrupt: Ctrl-C, after a checkpoint was written.
    """
    ranks = ranks or Ranks()
    directory = ranks.from_first(lambda: _place(config, ranks.size))
    with ranks.first_goes_first():
        data_directory = ready_data(config, console.print)
    owner = directory if config.resume else data_directory
    data = open_data(data_directory, owner / "tokenizer.json")
    with ranks.first_goes_first():  # the others read what it recorded
        begin = _begin if ranks.is_first and not config.resume else _resume
        model, execution = begin(config, directory, data, console.print)
    optimizer = make_optimizer(model, config.training)
    trainer = Trainer(
        model,
        optimizer,
        data.train,
        data.valid,
        config.training,
        run_dir=directory,
        execution=execution,
        loggers=_loggers(config, directory, data, model, console) if ranks.is_first else [],
        ranks=ranks,
    )
    if config.resume:
        console.print(f"resume      {directory} from step {trainer.resume():,}")
    trainer.train()
    result = evaluate_run(trainer, data, directory)
    if ranks.is_first:
        write_result(result)
    return result


def _place(config: RunConfig, num_ranks: int) -> Path:
    """The run's directory; what can be refused at once is refused."""
    rank_rows(config.training.batch_size, 0, num_ranks)
    return old_directory(config.out) if config.resume else new_directory(config)


def _begin(
    config: RunConfig, directory: Path, data: RunData, report: Report
) -> tuple[TransformerLM, Execution]:
    device = pick_device(config.device)
    shape = config.model.with_vocabulary(data.vocab_size)
    model = _build(shape, config.training.seed, device)
    report(f"model       {sum(p.numel() for p in model.parameters()):,} parameters")
    execution = choose_execution(config, model, data.train, str(device), report)
    directory.mkdir(parents=True, exist_ok=True)
    data.tokenizer.save(directory / "tokenizer.json")
    write_record(directory, _record(config, shape, execution, data))
    report(f"run         {directory}")
    return model, execution


def _resume(
    config: RunConfig, directory: Path, data: RunData, report: Report
) -> tuple[TransformerLM, Execution]:
    record = read_record(directory)
    execution = Execution(**record["execution"])
    device = pick_device(execution.device)
    model = _build(TransformerConfig.from_dict(record["model"]), config.training.seed, device)
    return model, execution


def _build(shape: TransformerConfig, seed: int, device: torch.device) -> TransformerLM:
    # Drawn on the CPU, so that a seed means the same weights on every device.
    model = TransformerLM(shape, generator=torch.Generator().manual_seed(seed))
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
