"""Metrics for Weights & Biases."""

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from trainkit.loggers.logger import Metrics


class WandbLogger:
    """Weights & Biases (extra `wandb`); without an API key it works offline, for `wandb sync`.

    Its run begins with the first metrics.

    Args:
        directory: where its files go.
        project: name of the project.
        run_id: the run's own id; a resumed run of the same id goes on in the same curve, and so
            would any other run of it.
        name: what the run is called where it is shown; None: wandb's choice.
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
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        try:
            self._wandb: Any = import_module("wandb")
        except ImportError as error:
            raise ImportError(
                "WandbLogger needs wandb: install trainkit with the extra `wandb`"
            ) from error
        self._options = {
            "dir": str(directory),
            "project": project,
            "id": run_id,
            "name": name,
            "config": dict(config or {}),
        }
        self._run: Any = None

    def log(self, step: int, metrics: Metrics) -> None:
        """Send `metrics` at `step`."""
        # Not begun when it is made: with a key and no network that raises, after a minute and a
        # half, and only what is raised from here on costs a guest and not the training.
        if self._run is None:
            self._run = self._wandb.init(**self._options, resume="allow", mode=self._mode())
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        """Finish the run and wait for what is still on its way."""
        if self._run is not None:
            self._run.finish()

    def _mode(self) -> str:
        has_key = bool(os.environ.get("WANDB_API_KEY") or self._wandb.api.api_key)
        return os.environ.get("WANDB_MODE") or ("online" if has_key else "offline")
