"""Token files, batches, checkpoints, the training loop and decoding: ids in, ids out, no text."""

from trainkit.atomic import replace_file
from trainkit.batch import Batch, get_batch
from trainkit.checkpoint import load_checkpoint, save_checkpoint
from trainkit.checkpoint_manager import CheckpointManager, CheckpointState
from trainkit.config import TrainConfig
from trainkit.dataset import TokenDataset
from trainkit.evaluate import EvalResult, evaluate
from trainkit.execution import Execution
from trainkit.generate import generate
from trainkit.interrupt import Terminated
from trainkit.loggers import (
    ConsoleLogger,
    CsvLogger,
    JsonlLogger,
    Logger,
    Metrics,
    ReportLogger,
    TensorboardLogger,
    WandbLogger,
)
from trainkit.manifest import DamagedCheckpointError
from trainkit.measuring import (
    CompileReport,
    PrecisionReport,
    measure_compile,
    measure_precision,
)
from trainkit.mixture import Mixture
from trainkit.optimizer import make_optimizer
from trainkit.order import Order, permute
from trainkit.precision import PRECISIONS, Precision, precision_context
from trainkit.prefetch import Prefetcher
from trainkit.report import write_report
from trainkit.run_lock import RunLock
from trainkit.sampling import Sampling, next_token_probs, top_k_filter, top_p_filter
from trainkit.token_file import TokenFileInfo
from trainkit.trainer import Trainer

__all__ = [
    "PRECISIONS",
    "Batch",
    "CheckpointManager",
    "CheckpointState",
    "CompileReport",
    "ConsoleLogger",
    "CsvLogger",
    "DamagedCheckpointError",
    "EvalResult",
    "Execution",
    "JsonlLogger",
    "Logger",
    "Metrics",
    "Mixture",
    "Order",
    "Precision",
    "PrecisionReport",
    "Prefetcher",
    "ReportLogger",
    "RunLock",
    "Sampling",
    "TensorboardLogger",
    "Terminated",
    "TokenDataset",
    "TokenFileInfo",
    "TrainConfig",
    "Trainer",
    "WandbLogger",
    "evaluate",
    "generate",
    "get_batch",
    "load_checkpoint",
    "make_optimizer",
    "measure_compile",
    "measure_precision",
    "next_token_probs",
    "permute",
    "precision_context",
    "replace_file",
    "save_checkpoint",
    "top_k_filter",
    "top_p_filter",
    "write_report",
]
