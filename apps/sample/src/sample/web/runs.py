"""The runs that the page may show: those named when it was opened, and no others."""

import copy
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from threading import Lock

import torch
from nnparts import TransformerLM

from sample.run import LoadedRun, load_run


class Runs:
    """Run directories, each read when it is first asked for.

    Args:
        directories: that `train` wrote.
        device: where the models go.
        step: which checkpoint of each; None for the latest.
    """

    def __init__(
        self, directories: Sequence[Path], device: torch.device, step: int | None = None
    ) -> None:
        self._directories = {str(directory): directory for directory in directories}
        self._device, self._step = device, step
        self._loaded: dict[str, LoadedRun] = {}
        self._lock = Lock()

    @property
    def names(self) -> list[str]:
        """The directories as they were given, each once."""
        return list(self._directories)

    def load(self, name: str) -> LoadedRun:
        """The run of that name. One that can't be read is tried again each time.

        Raises:
            FileNotFoundError: Something of it is not there.
            ValueError: It is damaged, or none of those named.
        """
        if name not in self._directories:
            raise ValueError(f"no run {name!r} here; there are {', '.join(self.names)}")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = load_run(self._directories[name], self._device, self._step)
            return self._loaded[name]


def of_its_own(model: TransformerLM) -> TransformerLM:
    """The model with the same weights, but modules of its own.

    Decoding puts its model in evaluation mode and back, so two texts that are written at a time
    need a model each; the weights are shared.
    """
    tensors = chain(model.parameters(), model.buffers())
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
