"""Metrics for Weights & Biases."""

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from trainkit.loggers.logger import Metrics


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
