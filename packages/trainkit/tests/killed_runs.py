"""Runs that are stopped by real signals at random moments; the program behind test_survival.py.

It forks for each run, because starting torch takes seconds, and computes nothing itself, because
a process with threads must not fork.

    killed_runs.py DIRECTORY kill|stop COUNT OPTIONS...

Each of OPTIONS, as JSON, is for one run after another, in turns.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from itertools import count, cycle
from pathlib import Path

import torch
from tiny_run import make_data, make_trainer
from trainkit import CheckpointManager, Terminated

STEPS = 60
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


def run(directory, name, options):
    """Train in a process of its own; its number."""
    child = os.fork()
    if child:
        return child
    trainer = None
    try:
        trainer = make_trainer(
            directory, run=name, max_steps=STEPS, checkpoint_every=3, eval_every=10, **options
        )
        trainer.resume()
        trainer.train()
    except Terminated:
        os._exit(leave(trainer, 143))
    except KeyboardInterrupt:
        os._exit(leave(trainer, 130))
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def leave(trainer, code):
    """`code`, if no step of the run is lost."""
    is_saved = trainer is None or (trainer.checkpoints.latest_step() or 0) >= trainer.step
    return code if is_saved else 2


def result(directory, name):
    """All that a run leaves: the bytes of its checkpoints, its metrics without the times."""
    root = directory / name
    latest = root / "checkpoints" / f"step-{STEPS:06d}"
    files = {path.name: path.read_bytes() for path in latest.iterdir()}
    state = json.loads(files.pop("state.json"))
    files.pop("manifest.json")
    state["extra"].pop("wall_seconds")
    lines = [json.loads(line) for line in (root / "metrics.jsonl").read_text().splitlines()]
    times = ("wall_seconds", "tokens_per_second", "data_wait_share", "peak_memory_bytes")
    metrics = [{key: line[key] for key in line if key not in times} for line in lines]
    return files, state, metrics


def disturb(child, number, moment):
    """Send signal `number` after `moment` seconds; how the child ended."""
    time.sleep(moment)
    os.kill(child, number)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main():
    directory, mode, wanted = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    options = cycle([json.loads(text) for text in sys.argv[4:]])
    torch.set_num_threads(1)
    make_data(directory, "train", 500)
    make_data(directory, "valid", 60)
    draw = random.Random(0)
    begin = time.perf_counter()
    assert os.waitpid(run(directory, "undisturbed", next(options)), 0)[1] == 0
    seconds = time.perf_counter() - begin
    expected = result(directory, "undisturbed")
    disturbed = finished = 0
    for number in count():
        name = f"run-{finished}"
        child = run(directory, name, next(options))
        which = signal.SIGKILL if mode == "kill" else draw.choice([*EXIT_CODES])
        code = disturb(child, which, draw.uniform(0, 0.8 * seconds))
        if code in (-which, EXIT_CODES.get(which)):
            disturbed += 1
        else:
            assert code == 0, (number, code)
            assert result(directory, name) == expected, (number, "another result")
            shutil.rmtree(directory / name)
            finished += 1
        if disturbed >= wanted and finished:
            break
    assert CheckpointManager(directory / "undisturbed" / "checkpoints").latest_step() == STEPS
    print(disturbed, finished)


if __name__ == "__main__":
    main()
