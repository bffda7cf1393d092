"""Who hears of a run's metrics."""

from pathlib import Path

from nnparts import TransformerLM
from rich.console import Console
from trainkit import (
    ConsoleLogger,
    CsvLogger,
    Logger,
    ReportLogger,
    TensorboardLogger,
    WandbLogger,
    is_sharded_model,
)

from train.config import RunConfig
from train.curve import CurveLogger
from train.data import RunData
from train.directories import asked, read_record
from train.samples import SampleLogger


def run_loggers(
    config: RunConfig, directory: Path, data: RunData, model: TransformerLM, console: Console
) -> list[Logger]:
    """Those of a run whose record is written, as `config` asks for them."""
    if is_sharded_model(model):
        console.print("samples     none before the end: each rank has a part of the model")
    loggers: list[Logger] = [
        ConsoleLogger(console, config.training.max_steps),
        *drawing_loggers(directory, data, model),
    ]
    if config.csv:
        loggers.append(CsvLogger(directory))
    if config.tensorboard:
        loggers.append(TensorboardLogger(directory / "tensorboard"))
    if config.wandb:
        run_id = read_record(directory).get("id", directory.name)  # as it was before there were ids
        loggers.append(
            WandbLogger(directory, run_id=run_id, name=directory.name, config=asked(config))
        )
    return loggers


def drawing_loggers(directory: Path, data: RunData, model: TransformerLM) -> list[Logger]:
    """Those that take their time at each evaluation, and write into `directory` alone."""
    loggers: list[Logger] = [CurveLogger(directory, entropy=data.entropy)]
    if not is_sharded_model(model):  # one rank alone cannot write with it
        loggers.append(SampleLogger(directory, model, data.tokenizer))
    return [*loggers, ReportLogger(directory)]  # after the sample that it shows
