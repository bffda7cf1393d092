"""What a checkpoint costs the training that it interrupts: ours, and torch.save.

    uv run python packages/trainkit/benches/checkpoint.py

The model is ts17m with AdamW, 22.7 M parameters and 272 MB of state. Before anything is timed, what
was saved is loaded into another model and must be equal. The stall is the time until `save`
returns; what it costs in all is the time until everything is on the disk.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from nnparts import TransformerLM, preset
from optimkit import AdamW
from trainkit import CheckpointManager

sys.path.insert(0, str(Path(__file__).parents[3] / "benches"))
from measuring import commit, memory_gib, processor, spread


def make() -> tuple[TransformerLM, AdamW]:
    """The model after one step, so that the optimizer has its state."""
    model = TransformerLM(preset("ts17m"), generator=torch.Generator().manual_seed(0))
    optimizer = AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return model, optimizer


def prove(manager: CheckpointManager, model: TransformerLM, optimizer: AdamW) -> None:
    """What is loaded must be what was saved."""
    manager.save(1, model, optimizer)
    other, other_optimizer = make()
    for parameter in other.parameters():
        torch.nn.init.zeros_(parameter)
    manager.load(other, other_optimizer)
    for ours, theirs in zip(other.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def torch_save(path: Path, model: TransformerLM, optimizer: AdamW) -> None:
    """The usual way, with what makes it safe: written beside, synced, renamed."""
    data = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, data)
    with path.with_suffix(".part").open("wb") as file:
        file.write(data.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    path.with_suffix(".part").rename(path)


def main() -> None:
    """Proves, then times in turns."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--directory", type=Path, help="on the disk to be measured")
    arguments = parser.parse_args()
    model, optimizer = make()
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=arguments.directory) as name:
        root = Path(name)
        background = CheckpointManager(root / "background", in_background=True)
        foreground = CheckpointManager(root / "foreground")
        for manager in (background, foreground):
            prove(manager, model, optimizer)
        for step in range(2, 2 + arguments.rounds):

            def save(manager: CheckpointManager, step: int = step) -> None:
                manager.save(step, model, optimizer)

            def note(name: str, value: float) -> None:
                times.setdefault(name, []).append(1e3 * value)

            stall = seconds(lambda: save(background))
            note("in the background: stall", stall)
            note("in the background: in all", stall + seconds(background.wait))
            note("in the foreground", seconds(lambda: save(foreground)))
            note("torch.save, synced", seconds(lambda: torch_save(root / "t", model, optimizer)))
        background.close()
    print(f"{processor()}, {os.cpu_count()} cores, {memory_gib():.0f} GiB; {platform.platform()}")
    print(f"commit {commit()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"\n| saving, ms, {arguments.rounds} rounds | median (least-most) |\n| --- | --- |")
    for name, values in times.items():
        print(f"| {name} | {spread(values)} |")


if __name__ == "__main__":
    main()
