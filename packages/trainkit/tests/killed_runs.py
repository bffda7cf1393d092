"""Runs that are stopped by real signals at random moments; the program behind test_survival.py.

It forks for each run, because starting torch takes seconds, and computes nothing itself, because
a process with threads must not fork. What torch imports at the first step is imported before, or a
run would be killed while it starts, and hardly ever while it trains.

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
from itertools import cycle
from pathlib import Path

import torch
import torch._dynamo
from tiny_run import make_data, make_trainer
from trainkit import Terminated

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
    times = ("wall_seconds", "tokens_per_second", "data_wait_share")
    metrics = [{key: line[key] for key in line if key not in times} for line in lines]
    return files, state, metrics


def exit_code(child):
    """How the process ended: negative if a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main():
    directory, mode, wanted = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    options = cycle([json.loads(text) for text in sys.argv[4:]])
    torch.set_num_threads(1)
    make_data(directory, "train", 500)
    make_data(directory, "valid", 60)
    draw = random.Random(0)
    begin = time.perf_counter()
    assert exit_code(run(directory, "undisturbed", next(options))) == 0
    seconds = time.perf_counter() - begin
    expected = result(directory, "undisturbed")
    disturbed = finished = 0
    while not (disturbed >= wanted and finished):
        child = run(directory, "run", next(options))
        number = signal.SIGKILL if mode == "kill" else draw.choice([*EXIT_CODES])
        if disturbed < wanted:
            time.sleep(draw.uniform(0, seconds))
            os.kill(child, number)
        code = exit_code(child)
        if code in (-number, EXIT_CODES.get(number)):
            disturbed += 1
            continue
        assert code == 0, code
        assert result(directory, "run") == expected, "another result"
        shutil.rmtree(directory / "run")
        finished += 1
    print(disturbed, finished)


if __name__ == "__main__":
    main()
