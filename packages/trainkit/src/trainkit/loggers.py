"""Where metrics go: a file of JSON lines, which is the truth, and whatever else is asked for."""

import json
import os
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from trainkit.atomic import replace_file, sync

Metrics = Mapping[str, float]


@runtime_checkable
class Logger(Protocol):
    """Takes the metrics of a step; keys and units are in `Trainer`'s docstring."""

    def log(self, step: int, metrics: Metrics) -> None:
        """Take note of `metrics` after `step` updates."""
        ...

    def close(self) -> None:
        """Finish; no metrics follow."""
        ...


class JsonlLogger:
    """One JSON object a line: `{"step": 10, "loss": 2.5, ...}`.

    Each line is written at once, so that neither a reader nor a kill ever sees half of one.

    Args:
        path: the file, appended to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)

    def log(self, step: int, metrics: Metrics) -> None:
        """Append a line."""
        self._file.write((json.dumps({"step": step, **metrics}) + "\n").encode())

    def rewind(self, step: int) -> None:
        """Drop the lines of later steps than `step`, and a torn last one; atomically."""
        self._file.close()
        kept = [line for line in self.path.read_bytes().splitlines(True) if _is_kept(line, step)]
        with replace_file(self.path) as file:
            file.write(b"".join(kept))
        self._file = self.path.open("ab", buffering=0)

    def sync(self) -> None:
        """Wait until every line is on the disk."""
        sync(self._file)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ConsoleLogger:
    """A progress bar with loss, tokens a second and the time left, and a line an evaluation.

    Where the console is no terminal (a pipe, a log file) every log is a plain line.

    Args:
        console: where to; the caller's choice.
        total_steps: updates in all.
    """

    def __init__(self, console: Console, total_steps: int) -> None:
        self._console = console
        self._total_steps = total_steps
        self._progress = Progress(
            TextColumn("step {task.completed:,.0f}/{task.total:,.0f}"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]:.3f}  {task.fields[speed]:,.0f} tokens/s  left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=total_steps, loss=float("nan"), speed=0)

    def log(self, step: int, metrics: Metrics) -> None:
        """Move the bar, or print the line."""
        if "valid_loss" in metrics:
            self._console.print(f"step {step:,}: {_evaluation_words(metrics)}", highlight=False)
        elif not self._console.is_terminal:
            self._console.print(
                f"step {step:,}/{self._total_steps:,}: loss {metrics['loss']:.3f}, "
                f"{metrics['tokens_per_second']:,.0f} tokens/s",
                highlight=False,
            )
        else:
            self._move(step, metrics)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._progress.stop()

    def _move(self, step: int, metrics: Metrics) -> None:
        if not self._progress.live.is_started:  # not before: a resumed run starts its clock here
            self._progress.reset(self._task, completed=step)
            self._progress.start()
        self._progress.update(
            self._task, completed=step, loss=metrics["loss"], speed=metrics["tokens_per_second"]
        )


class WandbLogger:
    """Weights & Biases (extra `wandb`); without an API key it works offline, for `wandb sync`.

    Args:
        directory: where its files go.
        project: name of the project.
        run_id: the run's own id; a resumed run of the same id goes on in the same curve.
        config: what to keep with the run; anything JSON can hold.

    Raises:
        ImportError: wandb is not installed.
    """

    def __init__(
        self,
        directory: Path,
        *,
        project: str = "groundup",
        run_id: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        try:
            wandb: Any = import_module("wandb")
        except ImportError as error:
            raise ImportError(
                "WandbLogger needs wandb: install trainkit with the extra `wandb`"
            ) from error
        has_key = bool(os.environ.get("WANDB_API_KEY") or wandb.api.api_key)
        self._run = wandb.init(
            dir=str(directory),
            project=project,
            id=run_id,
            config=dict(config or {}),
            resume="allow",
            mode=os.environ.get("WANDB_MODE") or ("online" if has_key else "offline"),
        )

    def log(self, step: int, metrics: Metrics) -> None:
        """Send `metrics` at `step`."""
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        """Finish the run and wait for what is still on its way."""
        self._run.finish()


class GuardedLogger:
    """A logger whose first failure costs one warning, and itself, but never the run.

    Args:
        logger: the logger that may fail.
    """

    def __init__(self, logger: Logger) -> None:
        self._logger: Logger | None = logger

    def log(self, step: int, metrics: Metrics) -> None:
        """Pass `metrics` on."""
        self._guard(lambda logger: logger.log(step, metrics))

    def close(self) -> None:
        """Close the logger."""
        self._guard(lambda logger: logger.close())

    def _guard(self, call: Callable[[Logger], None]) -> None:
        if (logger := self._logger) is None:
            return
        try:
            call(logger)
        except Exception as error:
            self._logger = None
            warnings.warn(
                f"{type(logger).__name__} failed and is out; the run goes on: {error}",
                RuntimeWarning,
                stacklevel=2,
            )


def _is_kept(line: bytes, step: int) -> bool:
    return line.endswith(b"\n") and json.loads(line)["step"] <= step


def _evaluation_words(metrics: Metrics) -> str:
    words = f"validation loss {metrics['valid_loss']:.4f} nats/token"
    bits = metrics.get("valid_bits_per_byte")
    return words if bits is None else f"{words}, {bits:.4f} bits/byte"
