"""Metrics for the eye: a progress bar, or plain lines."""

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from trainkit.loggers.logger import Metrics


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


def _evaluation_words(metrics: Metrics) -> str:
    words = f"validation loss {metrics['valid_loss']:.4f} nats/token"
    bits = metrics.get("valid_bits_per_byte")
    return words if bits is None else f"{words}, {bits:.4f} bits/byte"
