"""A run from its beginning or its latest checkpoint to its result."""

import shlex
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from rich.console import Console
from trainkit import (
    DamagedCheckpointError,
    Ranks,
    Trainer,
    make_optimizer,
    rank_rows,
    shard_model,
    terminable,
)

from train.changes import read_changes, record_changes
from train.config import RunConfig
from train.data import open_data, ready_data
from train.directories import claimed_directory, has_begun, read_record
from train.loggers import run_loggers
from train.result import RunResult, evaluate_run, write_result
from train.set_up import RunParts, begin, build_model, resume

Report = Callable[[str], None]


def train(
    config: RunConfig,
    console: Console,
    ranks: Ranks | None = None,
    *,
    begun: float | None = None,
) -> RunResult:
    """Does what `config` says and returns what came of it.

    From the first moment to the last its directory is in use: see `claimed_directory`.

    Args:
        config: What to do.
        console: Where it is told.
        ranks: Who does it, all with the same `config`; the first makes and writes what the others
            read. None: this process alone.
        begun: When the run's minutes began, by time.perf_counter; None: now.

    Raises:
        ValueError: Settings, data, tokenizer and model that do not fit together, or ranks that
            cannot have equal parts of a batch.
        FirstRankFailedError: Not on the first rank, which raises what it met.
        FileNotFoundError: Data, or the run to resume, is not there.
        BlockingIOError: Another process has the run's directory.
        OSError: The disk is full; the checkpoints before are whole.
        AnomalyError: The loss is no number any more, or a spike, and the run is to stop for it.
        KeyboardInterrupt: Ctrl-C, or SIGTERM as its kind `Terminated`, once a checkpoint is written
            and the way to go on is told; where nothing was begun, at once.
    """
    ranks, begun = ranks or Ranks(), begun or time.perf_counter()
    with ExitStack() as at_end:
        if not ranks.are_many:  # one of several may be waiting for the others, and hear of nothing
            at_end.enter_context(terminable())
        directory = ranks.from_first(lambda: at_end.enter_context(_place(config, ranks.size)))
        try:
            return _train_in(directory, config, console, ranks, begun)
        except KeyboardInterrupt:
            console.print(_way_on(directory), markup=False, soft_wrap=True)
            raise


def _train_in(
    directory: Path, config: RunConfig, console: Console, ranks: Ranks, begun: float
) -> RunResult:
    """As `train`, in a directory that is claimed."""
    with ranks.first_goes_first():
        data_directory = ready_data(config, console.print)
    owner = directory if config.resume else data_directory
    data = open_data(
        data_directory,
        owner / "tokenizer.json",
        order=config.order,
        separate_documents=config.separate_documents,
    )
    record = read_record(directory) if config.resume else None
    changes = read_changes(config, directory) if config.resume else []
    model = build_model(config, record, changes, data)
    parts = RunParts(model, data, directory, console.print, ranks.size)
    config, execution = ranks.from_first(
        lambda: (
            begin(config, parts, begun)
            if record is None
            else resume(config, parts, record, changes)
        )
    )
    ranks.share(model)
    if config.parallel == "fsdp" and ranks.are_many:
        shard_model(model, ranks)
    trainer = Trainer(
        model,
        make_optimizer(model, config.training),
        data.train,
        data.valid,
        config.training,
        run_dir=directory,
        execution=execution,
        loggers=run_loggers(config, directory, data, model, console) if ranks.is_first else [],
        ranks=ranks,
        is_locked=True,
    )
    if config.resume:
        step = _go_on(trainer, config, console.print)
        if changes and ranks.is_first:
            record_changes(directory, config, changes, execution, step)
            console.print(f"changed     {'; '.join(map(str, changes))}")
    trainer.train()
    result = evaluate_run(trainer, data, directory)
    if ranks.is_first:
        write_result(result)
    return result


def _place(config: RunConfig, num_ranks: int) -> AbstractContextManager[Path]:
    """The run's directory, to be claimed; what can be refused at once is refused."""
    rank_rows(config.training.batch_size, 0, num_ranks)
    if config.minutes is not None and num_ranks > 1:
        raise ValueError("--minutes times the updates of one process: give several --max-steps")
    if (config.look_back_heads or config.copying_head) and not config.bigram_updates:
        raise ValueError(
            "--look-back-heads and --copying-head belong to a start from bigrams, got"
            " --bigram-updates 0: give some, or --look-back-heads 0 --no-copying-head"
        )
    if config.parallel == "fsdp" and config.compile == "on" and num_ranks > 1:
        raise ValueError("--parallel fsdp is not compiled: leave out --compile on, or use ddp")
    return claimed_directory(config)


def _way_on(directory: Path) -> str:
    """What to do about a run that was stopped."""
    if has_begun(directory):
        return f"stopped; go on with: uv run train --resume --out {shlex.quote(str(directory))}"
    return "stopped; nothing was begun"


def _go_on(trainer: Trainer, config: RunConfig, report: Report) -> int:
    """Puts the latest checkpoint into `trainer`; its step."""
    try:
        step = trainer.resume(fall_back=config.fall_back, retune=True)
    except DamagedCheckpointError as error:
        if config.fall_back:
            raise
        raise DamagedCheckpointError(
            f"{error}: --resume --fall-back goes on from the newest whole one"
        ) from error
    report(f"resume      {trainer.run_dir} from step {step:,}")
    return step
