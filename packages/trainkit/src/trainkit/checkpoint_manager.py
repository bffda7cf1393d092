"""The checkpoints of a run: one directory each, the newest named by `latest`, some of them kept.

checkpoints/
├── latest                     the name of the newest directory
├── step-000400/
└── step-000500/
    ├── model.safetensors      the weights under their plain state-dict names
    ├── optimizer.safetensors
    ├── state.json             the step, the metric, and what the caller gave
    └── manifest.json          size and hash of the three, written last

Of a model that is divided among ranks it holds a shard from each: see `checkpoint_files`.
"""

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from torch import nn
from torch.optim import Optimizer

from trainkit.atomic import current_directory, replace_directory, settle
from trainkit.background import BackgroundCall
from trainkit.checkpoint_files import (
    Pattern,
    has_file,
    model_pattern,
    optimizer_pattern,
    read_file,
    write_shards,
    write_whole,
)
from trainkit.checkpoint_index import CheckpointIndex, Kept
from trainkit.checkpoint_state import STATE, CheckpointState, read_state
from trainkit.disk_space import is_disk_full, require_space
from trainkit.manifest import (
    MANIFEST,
    DamagedCheckpointError,
    FileDigest,
    manifest_bytes,
    verify_directory,
)
from trainkit.model_state import check_model_tensors, copy_model_tensors
from trainkit.optimizer_state import check_optimizer_tensors, load_optimizer_tensors
from trainkit.ranks import Ranks
from trainkit.snapshot import Content, SnapshotBuffer, content_of
from trainkit.tensor_file import Tensors

T = TypeVar("T")


class CheckpointManager:
    """Saves and loads the checkpoints in one directory; a killed save leaves the ones before.

    One process at a time may save, or the ranks of one run together; any number may load.

    Args:
        directory: made at the first save.
        keep: the newest checkpoints that are kept, at least 1.
        keep_every: checkpoints of steps that this divides are kept for good; None: none are.
        keep_best: whether the one of the least metric is kept, too.
        in_background: whether `save` returns once the tensors are copied, and a thread does the
            rest; the next `save`, `load` or `wait` waits for it and raises what it met. So does
            the end of the process, unless `abandon` was called.
        ranks: among whom the model is divided: all must make a manager, and all must save, and
            each writes its part. None: this process saves alone.

    Raises:
        ValueError: `keep` or `keep_every` is below 1.
    """

    def __init__(
        self,
        directory: str | PathLike[str],
        *,
        keep: int = 2,
        keep_every: int | None = None,
        keep_best: bool = False,
        in_background: bool = False,
        ranks: Ranks | None = None,
    ) -> None:
        for name, value in (("keep", keep), ("keep_every", keep_every)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.directory = Path(directory)
        self._index = CheckpointIndex(self.directory)
        self._kept = Kept(keep, keep_every, keep_best)
        self._in_background, self._writing = in_background, Lock()
        self._pending: BackgroundCall | None = None
        self._buffer = SnapshotBuffer()
        self._ranks = Ranks() if ranks is None else ranks.apart()

    def save(
        self,
        step: int,
        model: nn.Module,
        optimizer: Optimizer | None = None,
        extra: dict[str, Any] | None = None,
        *,
        metric: float | None = None,
        more: dict[str, Tensors] | None = None,
    ) -> Path:
        """Save a checkpoint, point `latest` to it, and remove those that need not be kept.

        Checkpoints of later steps go too: they are of a future that the run went back from.

        Args:
            step: updates done; a checkpoint of the same step is replaced.
            model: whose state dict is saved.
            optimizer: over the model's parameters; None saves the weights alone.
            extra: anything JSON can hold.
            metric: how good it is, less is better, for `keep_best`; one that is not finite is none.
            more: other tensors to save beside, a file for each name; `load_more` reads them.

        Returns:
            The checkpoint's directory.

        Raises:
            OSError: the disk is full; the checkpoints before are whole.
            ValueError: as `save_checkpoint`.
        """
        self.wait()
        content = content_of(model, optimizer, more)
        state = CheckpointState(step, extra or {}, metric).to_bytes()
        if self._in_background:
            self._hand_over(step, content, state)
        else:
            self._write(step, content, state)
        return self._index.path(step)

    @property
    def is_saving(self) -> bool:
        """Whether a save in the background is under way; after it, `wait` tells how it went."""
        return self._pending is not None and not self._pending.is_done

    def wait(self) -> None:
        """Wait until what was saved in the background is on the disk.

        Raises:
            OSError: it is not, the disk is full; the checkpoints before are whole.
        """
        if (pending := self._pending) is not None:
            pending.join()
            # Not before: a Ctrl-C ends the wait, and a `save` that then knows of nothing under way
            # once copied step 15 into the memory that step 10 was being written from.
            self._pending = None
            pending.result()

    def abandon(self) -> None:
        """Let the process end without what is being saved; the checkpoints before are whole.

        For those in haste, as after a second Ctrl-C. The save goes on while the process does.
        """
        if self._pending is not None:
            self._pending.abandon()

    def close(self) -> None:
        """As `wait`: nothing else is open."""
        self.wait()

    def load(
        self,
        model: nn.Module,
        optimizer: Optimizer | None = None,
        step: int | None = None,
        *,
        fall_back: bool = False,
    ) -> CheckpointState:
        """Put a checkpoint into `model` and `optimizer`; all of it or nothing.

        Tensors go to the device of the model's; weights are cast to their dtype where it differs,
        and optimizer states keep theirs, as by `load_checkpoint`.

        Args:
            model: of the same names and shapes.
            optimizer: of the same class over the same parameters; None loads the weights alone.
            step: which checkpoint; None takes the latest.
            fall_back: whether a damaged checkpoint costs a warning, which names the file, and the
                one before it is taken, or the greatest where `latest` is damaged; else it is an
                error.

        Raises:
            FileNotFoundError: there is no such checkpoint.
            DamagedCheckpointError: a file of it is not what was saved; it is named.
            ValueError: as `load_checkpoint`.
        """

        def read(directory: Path) -> CheckpointState:
            return _read_checkpoint(directory, model, optimizer)

        return self._with_checkpoint(step, read, fall_back=fall_back)

    def load_more(
        self, name: str, step: int | None = None, pattern: Pattern | None = None
    ) -> Tensors:
        """The tensors that were saved as `more[name]`; arguments and errors as for `load`.

        They are whole, or divided as `pattern` says.
        """

        def read(directory: Path) -> Tensors:
            verify_directory(directory)
            return read_file(directory, name, pattern or _stays_whole)[0]

        return self._with_checkpoint(step, read, fall_back=False)

    def verify(self, step: int | None = None) -> None:
        """Compare every file of a checkpoint, None the latest, with the hash it was saved with.

        Raises:
            FileNotFoundError: there is no such checkpoint.
            DamagedCheckpointError: a file differs; it is named.
        """
        self._with_checkpoint(step, verify_directory, fall_back=False)

    def latest_step(self, *, fall_back: bool = False) -> int | None:
        """The step that `latest` names; None where nothing was saved yet.

        Args:
            fall_back: whether it is the greatest step where `latest` names none that is there.

        Raises:
            DamagedCheckpointError: `latest` names no checkpoint that is there.
        """
        return self._index.latest_step(fall_back=fall_back)

    def best_step(self) -> int | None:
        """The step of the least metric, the earliest of several; None where none has one."""
        return self._index.best_step()

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, ascending."""
        return self._index.steps()

    def _with_checkpoint(self, step: int | None, use: Callable[[Path], T], *, fall_back: bool) -> T:
        """`use` of the directory of checkpoint `step`, or of the newest before it that is whole."""
        self.wait()
        step = self._latest_or_greatest(fall_back=fall_back) if step is None else step
        if step is None or step not in self.steps():
            raise FileNotFoundError(
                f"no checkpoint {'at all' if step is None else f'of step {step}'} in "
                f"{self.directory}; there are those of steps {self.steps()}"
            )
        try:
            return use(current_directory(self._index.path(step)))
        except DamagedCheckpointError as error:
            earlier = [other for other in self.steps() if other < step]
            if not fall_back or not earlier:
                raise
            warnings.warn(f"{error}: going back to step {earlier[-1]}", stacklevel=3)
            return self._with_checkpoint(earlier[-1], use, fall_back=True)

    def _latest_or_greatest(self, *, fall_back: bool) -> int | None:
        """The latest step, with a warning where it is the greatest instead."""
        try:
            return self.latest_step()
        except DamagedCheckpointError as error:
            step = self.latest_step(fall_back=fall_back)
            warnings.warn(f"{error}: going back to step {step}", stacklevel=4)
            return step

    def _hand_over(self, step: int, content: Content, state: bytes) -> None:
        """Copy `content` and let a thread write it."""
        # The buffer is back when the write that reads it is known: after a signal in between the
        # next save takes new memory, and its turn.
        buffer, self._buffer = self._buffer, SnapshotBuffer()
        copy = buffer.copy(content)

        def write() -> None:
            with self._writing:
                self._write(step, copy, state)

        self._pending = BackgroundCall(write, name=f"checkpoint of step {step}")
        self._buffer = buffer

    def _write(self, step: int, content: Content, state: bytes) -> None:
        """Write a checkpoint; of several ranks all do, and an error of one is that of all."""
        try:
            with ExitStack() as opened:
                [staging, *_] = self._by_first(lambda: self._open(step, content, opened))
                assert staging is not None
                if self._ranks.are_many:
                    digests = write_shards(staging, content, self._ranks)
                else:
                    digests = write_whole(staging, content)
                self._by_first(lambda: self._finish(step, staging, digests, state, opened))
        except OSError as error:
            if is_disk_full(error):  # says how much is needed where it still doesn't fit
                require_space(self.directory, content.nbytes)
            raise

    def _by_first(self, do: Callable[[], T]) -> list[T | None]:
        """`do`, by the first rank alone; what it gave comes first."""
        return self._ranks.together(lambda: do() if self._ranks.is_first else None)

    def _open(self, step: int, content: Content, opened: ExitStack) -> Path:
        """A place to write to, which takes that of checkpoint `step` when `opened` is closed."""
        self.directory.mkdir(parents=True, exist_ok=True)
        settle(self.directory)
        require_space(self.directory, content.nbytes)
        return opened.enter_context(replace_directory(self._index.path(step)))

    def _finish(
        self,
        step: int,
        staging: Path,
        digests: dict[str, FileDigest],
        state: bytes,
        opened: ExitStack,
    ) -> None:
        (staging / STATE).write_bytes(state)
        (staging / MANIFEST).write_bytes(manifest_bytes(digests | {STATE: FileDigest.of(state)}))
        opened.close()
        self._index.point_to(step)
        self._index.prune(step, self._kept)


def _stays_whole(_: str) -> None:
    return None


def _read_checkpoint(
    directory: Path, model: nn.Module, optimizer: Optimizer | None
) -> CheckpointState:
    verify_directory(directory)
    state = read_state(directory)
    weights, _ = read_file(directory, "model", model_pattern(model))
    check_model_tensors(weights, model)
    if optimizer is not None:
        if not has_file(directory, "optimizer"):
            raise ValueError(f"{directory} holds weights alone; load it with optimizer=None")
        tensors, description = read_file(directory, "optimizer", optimizer_pattern(optimizer))
        check_optimizer_tensors(description, optimizer, model)
        load_optimizer_tensors(tensors, description, optimizer)
    copy_model_tensors(weights, model)
    return state
