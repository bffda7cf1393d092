"""Token files, batches, checkpoints, the training loop and decoding: ids in, ids out, no text."""

from trainkit.anomaly import AnomalyError
from trainkit.atomic import replace_file
from trainkit.batch import Batch, get_batch, rank_rows
from trainkit.bigrams import start_from_bigrams
from trainkit.checkpoint import load_checkpoint, save_checkpoint
from trainkit.checkpoint_manager import CheckpointManager
from trainkit.checkpoint_state import CheckpointState
from trainkit.config import TrainConfig
from trainkit.dataset import TokenDataset
from trainkit.ema import WeightAverage
from trainkit.evaluate import EvalResult, evaluate
from trainkit.execution import Execution
from trainkit.execution_choice import ExecutionChoice, choose_execution
from trainkit.generate import Step, generate, generate_stream
from trainkit.interrupt import Terminated, terminable
from trainkit.learning_rate import learning_rate
from trainkit.loggers import (
    ConsoleLogger,
    CsvLogger,
    JsonlLogger,
    Logger,
    Metrics,
    ReportLogger,
    StepLines,
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
from trainkit.optimizer import groups_alike, make_optimizer, set_hyperparameters
from trainkit.order import Order, permute
from trainkit.parts import PartsReport, measure_parts
from trainkit.precision import PRECISIONS, Precision, precision_context
from trainkit.prefetch import Prefetcher
from trainkit.ranks import FirstRankFailedError, Ranks, join_ranks
from trainkit.rehearsal import Pace, rehearse
from trainkit.report import write_report
from trainkit.run_lock import RunLock
from trainkit.sampling import (
    Sampling,
    min_p_filter,
    next_token_probs,
    penalize_repetition,
    top_k_filter,
    top_p_filter,
)
from trainkit.sharding import is_sharded_model, shard_model
from trainkit.stopping import Stopping
from trainkit.token_file import TokenFileInfo
from trainkit.trainer import Trainer

__all__ = [
    "PRECISIONS",
    "AnomalyError",
    "Batch",
    "CheckpointManager",
    "CheckpointState",
    "CompileReport",
    "ConsoleLogger",
    "CsvLogger",
    "DamagedCheckpointError",
    "EvalResult",
    "Execution",
    "ExecutionChoice",
    "FirstRankFailedError",
    "JsonlLogger",
    "Logger",
    "Metrics",
    "Mixture",
    "Order",
    "Pace",
    "PartsReport",
    "Precision",
    "PrecisionReport",
    "Prefetcher",
    "Ranks",
    "ReportLogger",
    "RunLock",
    "Sampling",
    "Step",
    "StepLines",
    "Stopping",
    "TensorboardLogger",
    "Terminated",
    "TokenDataset",
    "TokenFileInfo",
    "TrainConfig",
    "Trainer",
    "WandbLogger",
    "WeightAverage",
    "choose_execution",
    "evaluate",
    "generate",
    "generate_stream",
    "get_batch",
    "groups_alike",
    "is_sharded_model",
    "join_ranks",
    "learning_rate",
    "load_checkpoint",
    "make_optimizer",
    "measure_compile",
    "measure_parts",
    "measure_precision",
    "min_p_filter",
    "next_token_probs",
    "penalize_repetition",
    "permute",
    "precision_context",
    "rank_rows",
    "rehearse",
    "replace_file",
    "save_checkpoint",
    "set_hyperparameters",
    "shard_model",
    "start_from_bigrams",
    "terminable",
    "top_k_filter",
    "top_p_filter",
    "write_report",
]
