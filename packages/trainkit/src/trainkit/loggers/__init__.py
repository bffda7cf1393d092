"""Where metrics go: a file of JSON lines, which is the truth, and whatever else is asked for."""

from trainkit.loggers.console import ConsoleLogger
from trainkit.loggers.csv import CsvLogger
from trainkit.loggers.guarded import GuardedLogger
from trainkit.loggers.journal import Journal
from trainkit.loggers.jsonl import JsonlLogger
from trainkit.loggers.logger import Logger, Metrics
from trainkit.loggers.report import ReportLogger
from trainkit.loggers.step_lines import StepLines
from trainkit.loggers.tensorboard import TensorboardLogger
from trainkit.loggers.wandb import WandbLogger

__all__ = [
    "ConsoleLogger",
    "CsvLogger",
    "GuardedLogger",
    "Journal",
    "JsonlLogger",
    "Logger",
    "Metrics",
    "ReportLogger",
    "StepLines",
    "TensorboardLogger",
    "WandbLogger",
]
